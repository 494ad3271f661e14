package admission

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"openai-api-proxy/pkg/proxy"
)

// pair is two replicas that lease from one state.
func pair(s buckets) (all [2]*Admission) {
	for i := range all {
		all[i] = New(s, Options{Replicas: func() int { return 2 }, Lease: true, Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry()})
	}
	return all
}

// A hot client is served without asking the state for each request; what it used is counted to the token, and what it was
// lent and did not use is given back.
func TestLeases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := inMemory()
		replicas := pair(s)
		client := &proxy.Client{ID: "hot", RPM: 600_000, Burst: 100_000, TPM: 100_000_000,
			Quota: []proxy.Budget{budget(proxy.Tokens, 1<<40, proxy.Month), budget(proxy.Requests, 1<<40, proxy.Total)}}
		var used, made int64
		var all sync.WaitGroup
		for i := range 4000 {
			p, err := replicas[i%2].Admit(t.Context(), client, sized(300, `,"max_tokens":50`))
			if err != nil {
				t.Fatal(err)
			}
			output := rand.Int64N(300)
			used, made = used+100+output, made+1
			all.Go(func() {
				time.Sleep(time.Duration(rand.Int64N(4000)) * time.Millisecond) // longer than a lease lasts
				p.Settle(context.Background(), exact(100, output))
			})
			time.Sleep(2500 * time.Microsecond) // 400 a second
		}
		asked := s.spends.Load()
		all.Wait()
		time.Sleep(2 * leaseLife)
		l := left(t, s, client)
		if got := 1<<40 - l["tokens/month"]; got != used {
			t.Errorf("%d tokens counted, %d used", got, used)
		}
		if got := 1<<40 - l["requests/total"]; got != made {
			t.Errorf("%d requests counted, %d made", got, made)
		}
		if asked > made/4 { // the first seconds are not leased, and a block of tokens may be too small
			t.Errorf("the state was asked %d times for %d requests", asked, made)
		}
		t.Logf("the state was asked %d times for %d requests in 10 s", asked, made)
		for _, a := range replicas {
			if n := a.teller.reserved.Load(); n != 0 || len(a.leases.ended) != 0 || len(a.leases.clients) != 0 {
				t.Errorf("%d tokens reserved, %d leases, %d clients remembered", n, len(a.leases.ended), len(a.leases.clients))
			}
			a.Close()
		}
	})
}

// However hot, two replicas together admit no more than the burst and what is refilled in the time and the life of a lease.
func TestLeasesKeepTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := inMemory()
		replicas := pair(s)
		const perSecond, burst, seconds = 300, 2000, 20
		client := &proxy.Client{ID: "hot", RPM: perSecond * 60, Burst: burst}
		var times []time.Time
		for i := range 1000 * seconds {
			if i%7 < 3 { // unevenly
				if _, err := replicas[min(i%5, 1)].Admit(t.Context(), client, chat(`{}`)); err == nil {
					times = append(times, time.Now())
				}
			}
			time.Sleep(time.Millisecond)
		}
		for i := 0; i < len(times); i += 13 {
			for k := i; k < len(times); k += 11 {
				span := times[k].Sub(times[i])
				if n, most := k-i+1, burst+int((span+leaseLife).Seconds()*perSecond)+1; n > most {
					t.Fatalf("%d admitted in %v, at most %d may", n, span, most)
				}
			}
		}
		if n := len(times); n < burst+perSecond*(seconds-2) {
			t.Errorf("only %d admitted", n)
		}
		if n := s.spends.Load(); n > 8000 {
			t.Errorf("asked %d times", n)
		}
		for _, a := range replicas {
			a.Close()
		}
	})
}

// A quota is exact to its last request, whoever holds a lease near its end; and when both replicas end, all is given back.
func TestLeasesNearTheEnd(t *testing.T) {
	s := inMemory()
	replicas := pair(s)
	const limit = 3000
	client := &proxy.Client{ID: "hot", Quota: []proxy.Budget{budget(proxy.Requests, limit, proxy.Total)}}
	var admitted, refused atomic.Int64
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			for refused.Load() < 100 {
				if _, err := replicas[i%2].Admit(context.Background(), client, chat(`{}`)); err == nil {
					if admitted.Add(1) > limit {
						t.Error("one too many")
					}
				} else if refused.Add(1); kindOf(err) != proxy.OverBudget {
					t.Error(err)
				}
				time.Sleep(8 * time.Millisecond)
			}
		})
	}
	all.Wait()
	if admitted.Load() != limit {
		t.Errorf("%d of %d admitted", admitted.Load(), limit)
	}
	other := &proxy.Client{ID: "other", Quota: []proxy.Budget{budget(proxy.Requests, 1<<40, proxy.Total)}}
	begin, made := time.Now(), int64(0)
	for ; time.Since(begin) < 2*leaseLife+leaseLife/2; made++ {
		if _, err := replicas[0].Admit(t.Context(), other, chat(`{}`)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
	for _, a := range replicas {
		a.Close()
	}
	if got := 1<<40 - left(t, s, other)["requests/total"]; got != made {
		t.Errorf("%d counted, %d made", got, made)
	}
}

// A state that goes away while leases run, or loses the answers to them, forgets nothing and counts nothing twice.
func TestLeasesWithoutTheState(t *testing.T) {
	s := inMemory()
	replicas := pair(s)
	client := &proxy.Client{ID: "hot", AllowUncounted: true, Quota: []proxy.Budget{budget(proxy.Tokens, 1<<40, proxy.Month)}}
	var used atomic.Int64
	var all sync.WaitGroup
	end := make(chan struct{})
	for i := range 8 {
		all.Go(func() {
			for {
				select {
				case <-end:
					return
				case <-time.After(5 * time.Millisecond):
				}
				p, err := replicas[i%2].Admit(context.Background(), client, sized(300, ""))
				if err != nil {
					t.Error(err)
					return
				}
				used.Add(130)
				p.Settle(context.Background(), exact(100, 30))
			}
		})
	}
	for _, disturb := range []func(bool){func(bool) {}, s.Off, s.Deaf} {
		time.Sleep(1500 * time.Millisecond)
		disturb(true)
		time.Sleep(700 * time.Millisecond)
		disturb(false)
	}
	close(end)
	all.Wait()
	for _, a := range replicas {
		a.Close()
	}
	if got := 1<<40 - left(t, s, client)["tokens/month"]; got != used.Load() {
		t.Errorf("%d counted, %d used", got, used.Load())
	}
}
