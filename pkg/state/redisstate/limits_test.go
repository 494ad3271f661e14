package redisstate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/redistest"
	"openai-api-proxy/pkg/state"
)

func five(cost int64) []state.Charge {
	return []state.Charge{
		{Limit: "rpm", Cost: min(cost, 1), Rate: state.Rate{Count: 1_000_000, Per: time.Minute, Burst: 1_000_000}},
		{Limit: "tpm", Cost: cost, Rate: state.Rate{Count: 100_000_000, Per: time.Minute, Burst: 100_000_000}},
		{Limit: "concurrency", Cost: min(cost, 1), Slots: 1000},
		{Limit: "tokens/month", Cost: cost, Quota: state.Quota{Limit: 1 << 50, Period: proxy.Month}},
		{Limit: "usd/month", Cost: cost, Quota: state.Quota{Limit: 1 << 50, Period: proxy.Month}},
	}
}

// A replica that died frees its slots when nobody renews them; what it reserved stays charged, and can be settled by it
// should it live after all.
func TestSlotsOfADeadReplica(t *testing.T) {
	server := redistest.Start(t)
	s := opened(t, server.URL())
	charges := five(100)
	charges[2].Slots = 1
	reserved, err := s.Spend(t.Context(), "c:one", "dead", charges)
	if err != nil || !reserved.OK {
		t.Fatal(reserved, err)
	}
	if v, _ := s.Spend(t.Context(), "c:one", "next", charges); v.OK || v.Refused != "concurrency" {
		t.Fatalf("%+v", v)
	}
	// Half a minute in a moment: the slot is given the end that it would have had.
	server.Do("ZADD", "oap:{c:one}:slots", fmt.Sprint(time.Now().Add(-time.Millisecond).UnixMilli()), "dead")
	v, err := s.Spend(t.Context(), "c:one", "next", charges)
	if err != nil || !v.OK || v.Balances[3].Left != 1<<50-200 {
		t.Errorf("%+v, %v", v, err)
	}
	if err := s.Renew(t.Context(), []state.Held{{Subject: "c:one", Reservation: "next", Slots: true}, {Subject: "c:one", Reservation: "nobody", Slots: true}}); err != nil {
		t.Fatal(err)
	}
	if n := s.slow.ZCard(t.Context(), "oap:{c:one}:slots").Val(); n != 1 {
		t.Errorf("%d slots after a renewal", n)
	}
	for range 2 {
		if err := s.Settle(t.Context(), []state.Settlement{{Subject: "c:one", Reservation: "dead",
			Amounts: []state.Spending{{Charge: charges[3], Start: reserved.Balances[3].Start, Spent: 30}}}}); err != nil {
			t.Fatal(err)
		}
	}
	if v, _ := s.Spend(t.Context(), "c:one", "", five(0)); v.Balances[3].Left != 1<<50-130 {
		t.Errorf("late settlement: %+v", v.Balances[3])
	}
}

// A script that meets a key of another type, or a Redis that is out of memory, takes nothing at all.
func TestNothingIsHalfTaken(t *testing.T) {
	server := redistest.Start(t)
	s := opened(t, server.URL())
	for i, key := range []string{"oap:{c:%d}", "oap:{c:%d}:open", "oap:{c:%d}:slots"} {
		key = fmt.Sprintf(key, i)
		server.Do("SET", key, "not mine")
		if v, err := s.Spend(t.Context(), fmt.Sprintf("c:%d", i), "r", five(1)); err == nil {
			t.Errorf("%s: %+v", key, v)
		}
		if held := server.Keys(fmt.Sprintf("oap:{c:%d}*", i)); len(held) != 1 {
			t.Errorf("%s: written %v", key, held)
		}
	}
	if _, err := s.Spend(t.Context(), "c:full", "r", five(5)); err != nil {
		t.Fatal(err)
	}
	server.Do("CONFIG", "SET", "maxmemory", "1")
	time.Sleep(2 * guardRest)
	if v, err := s.Spend(t.Context(), "c:full", "next", five(1)); !errors.Is(err, state.ErrUnavailable) {
		t.Errorf("out of memory: %+v, %v", v, err)
	}
	if err := s.Settle(t.Context(), []state.Settlement{{Subject: "c:full", Reservation: "r"}}); err != nil {
		t.Errorf("out of memory nothing can be settled: %v", err)
	}
	server.Do("CONFIG", "SET", "maxmemory", "0")
	eventually(t, func() bool {
		v, err := s.Spend(t.Context(), "c:full", "", five(0))
		return err == nil && v.Balances[2].Left == 1000
	})
}

// A replica whose clock is wrong by hours, in either direction, gets nothing more out of a quota.
func TestWrongClocks(t *testing.T) {
	s := opened(t, redistest.Start(t).URL())
	now := time.Now()
	spend := func(at time.Time) int64 {
		q := state.Quota{Limit: 3, Period: proxy.Hour}
		var ask flat
		ask.text("")
		ask.number(1)
		reply, err := s.spend.Run(t.Context(), s.hot, s.limitKeys("c:one"), limitsLife.Milliseconds(), 0, 0, 1,
			"requests/hour", "quota", q.Limit, unix(q.Start(at)), unix(q.End(at)), ask.pack()).Int64Slice()
		if err != nil {
			t.Fatal(err)
		}
		return reply[3]
	}
	admitted := 0
	for range 5 {
		for _, skew := range []time.Duration{0, 90 * time.Minute, -90 * time.Minute} {
			if spend(now.Add(skew)) == 0 {
				admitted++
			}
		}
	}
	if admitted != 3 {
		t.Errorf("%d admitted of 3", admitted)
	}
}

// Many settlements, of many subjects, in one call, while the scripts are forgotten.
func TestSettleMany(t *testing.T) {
	server := redistest.Start(t)
	s := opened(t, server.URL())
	var all []state.Settlement
	charges := five(10)
	for i := range 1000 {
		subject, r := fmt.Sprint("c:", i%7), fmt.Sprint("r", i)
		v, err := s.Spend(t.Context(), subject, r, charges)
		if err != nil {
			t.Fatal(err)
		}
		settled := state.Settlement{Subject: subject, Reservation: r}
		for k, c := range charges {
			settled.Amounts = append(settled.Amounts, state.Spending{Charge: c, Start: v.Balances[k].Start, Spent: 3})
		}
		all = append(all, settled)
	}
	server.Do("SCRIPT", "FLUSH")
	for range 2 {
		if err := s.Settle(t.Context(), all); err != nil {
			t.Fatal(err)
		}
	}
	var used int64
	for i := range 7 {
		v, err := s.Spend(t.Context(), fmt.Sprint("c:", i), "", five(0)[3:])
		if err != nil {
			t.Fatal(err)
		}
		used += 1<<50 - v.Balances[0].Left
	}
	if used != 3000 {
		t.Errorf("%d used, want 3000", used)
	}
	if held := server.Keys("oap:*:open"); len(held) != 0 {
		t.Errorf("still open: %v", held)
	}
	for _, key := range server.Keys("oap:{c:*") {
		if ttl := s.slow.PTTL(t.Context(), key).Val(); ttl <= 0 {
			t.Errorf("%s has no end: %v", key, ttl)
		}
	}
}

// Whoever spends of some limits only does not shorten the life of the others, which lie in the same place.
func TestQuotasOutliveWhatIsNotSpentOfThem(t *testing.T) {
	server := redistest.Start(t)
	s := opened(t, server.URL())
	month := state.Charge{Limit: "requests/month", Cost: 1, Quota: state.Quota{Limit: 100, Period: proxy.Month, Zone: time.UTC}}
	rate := state.Charge{Limit: "tpm", Cost: 1, Rate: state.Rate{Count: 100, Per: time.Minute, Burst: 100}}
	ends := map[string]time.Duration{}
	for _, charges := range [][]state.Charge{{month, rate}, {rate}} {
		if v, err := s.Spend(t.Context(), "c:one", "", charges); err != nil || !v.OK {
			t.Fatal(v, err)
		}
		for _, key := range server.Keys("oap:{c:one*") {
			ttl := s.slow.PTTL(t.Context(), key).Val()
			if ttl < ends[key]-time.Minute {
				t.Errorf("%s ended in %v, and now in %v", key, ends[key], ttl)
			}
			ends[key] = ttl
		}
	}
	if len(ends) == 0 {
		t.Error("nothing was spent")
	}
}

// What a request's admission costs for a client with five limits.
func BenchmarkSpendOneLimit(b *testing.B) {
	s := opened(b, redistest.Start(b).URL())
	for b.Loop() {
		if v, err := s.Spend(context.Background(), "c:one", "", five(10)[:1]); err != nil || !v.OK {
			b.Fatal(v, err)
		}
	}
	b.Log(s.slow.Info(context.Background(), "commandstats").Val())
}

func BenchmarkSpendFiveLimits(b *testing.B) {
	server := redistest.Start(b)
	s := opened(b, server.URL())
	i := 0
	for b.Loop() {
		i++
		r := fmt.Sprint("r", i)
		v, err := s.Spend(context.Background(), "c:one", r, five(10))
		if err != nil || !v.OK {
			b.Fatal(v, err)
		}
		if i%100 == 0 {
			var all []state.Settlement
			for k := i - 99; k <= i; k++ {
				all = append(all, state.Settlement{Subject: "c:one", Reservation: fmt.Sprint("r", k),
					Amounts: []state.Spending{{Charge: five(10)[3], Start: v.Balances[3].Start, Spent: 3}}})
			}
			if err := s.Settle(context.Background(), all); err != nil {
				b.Fatal(err)
			}
		}
	}
	for line := range strings.Lines(s.slow.Info(context.Background(), "commandstats").Val()) {
		if strings.Contains(line, "evalsha") {
			b.Log(line)
		}
	}
}
