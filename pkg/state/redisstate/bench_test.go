package redisstate

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"openai-api-proxy/pkg/redistest"
	"openai-api-proxy/pkg/state"
)

// cpuOf is what Redis has used so far.
func cpuOf(b *testing.B, s *Store) (used time.Duration) {
	b.Helper()
	for line := range strings.Lines(s.slow.Info(context.Background(), "cpu").Val()) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if name == "used_cpu_sys" || name == "used_cpu_user" {
			seconds, err := strconv.ParseFloat(value, 64)
			if err != nil {
				b.Fatal(err)
			}
			used += time.Duration(seconds * float64(time.Second))
		}
	}
	return used
}

// settles settles what it is given, a lot of it together, until there is no more.
func settles(b *testing.B, s *Store, settled <-chan state.Settlement, done chan<- struct{}) {
	defer close(done)
	for one := range settled {
		all := []state.Settlement{one}
		for len(settled) > 0 && len(all) < 500 {
			all = append(all, <-settled)
		}
		if err := s.Settle(context.Background(), all); err != nil {
			b.Error(err)
		}
	}
}

// What one of many requests at the same time costs whose spendings Redis decides, here and there, with the settlement.
func BenchmarkSpendTogether(b *testing.B) {
	for _, callers := range []int{1, 8, 64} {
		b.Run(fmt.Sprint(callers), func(b *testing.B) {
			s := opened(b, redistest.Start(b).URL())
			var n atomic.Int64
			settled, done := make(chan state.Settlement, 10_000), make(chan struct{})
			go settles(b, s, settled, done)
			begin, trips := cpuOf(b, s), s.hotGuard.trips.Load()
			b.ReportAllocs()
			b.SetParallelism(callers)
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					r := "epoch-" + strconv.FormatInt(n.Add(1), 36)
					charges := five(10)[:4]
					v, err := s.Spend(context.Background(), "c:one", r, charges)
					if err != nil || !v.OK {
						b.Error(v, err)
						return
					}
					settled <- state.Settlement{Subject: "c:one", Reservation: r,
						Amounts: []state.Spending{{Charge: charges[0], Spent: 1}, {Charge: charges[1], Spent: 3}, {Charge: charges[2]}, {Charge: charges[3], Spent: 3}}}
				}
			})
			close(settled)
			<-done
			b.ReportMetric(float64((cpuOf(b, s)-begin).Microseconds())/float64(b.N), "redis-us/op")
			b.ReportMetric(float64(b.N)/float64(s.hotGuard.trips.Load()-trips), "spends/trip")
		})
	}
}

// What is said for 64 spendings and read of the answer takes no more allocations than it did: one for each, and a few for all.
func TestSpendingsAllocate(t *testing.T) {
	var asks []*ask
	reply := []any{int64(0), int64(0), int64(0), int64(0), int64(0), int64(600)}
	for i := range 64 {
		asks = append(asks, &ask{subject: "c:one", reservation: fmt.Sprint("epoch-", i), charges: five(1000)[:2]})
		reply = append(reply, int64(0))
	}
	n := testing.AllocsPerRun(100, func() {
		all := gather(asks)
		if len(all) != 1 || len(all[0].args(time.Now())) != 4+2*5+1 {
			t.Fatalf("%d runs", len(all))
		}
		all[0].answer(redis.NewCmdResult(reply, nil))
	})
	t.Logf("%v allocations", n)
	if most := 64 + 24.; n > most {
		t.Errorf("%v allocations, and it were %v", n, most)
	}
	if v := asks[63].verdict; asks[63].err != nil || !v.OK || len(v.Balances) != 2 || v.Balances[0].Reset != 64*60*time.Microsecond {
		t.Errorf("%+v, %v", v, asks[63].err)
	}
}
