package balancer

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/redistest"
	"openai-api-proxy/pkg/state"
	"openai-api-proxy/pkg/state/memstate"
	"openai-api-proxy/pkg/state/redisstate"
	"openai-api-proxy/pkg/state/statetest"
)

// limited are keys k0, k1, ... with the limits.
func limited(all ...proxy.Limits) []*proxy.Key {
	keys := pooled(make([]int64, len(all))...)
	for i, l := range all {
		keys[i].Limits = l
	}
	return keys
}

func three() int { return 3 }

// fleetOf is three balancers over one Redis.
func fleetOf(t *testing.T, o setup) []*Balancer {
	t.Helper()
	server := redistest.Start(t)
	var all []*Balancer
	for range 3 {
		s, err := redisstate.Open(server.URL(), "oap", "test", slog.New(slog.DiscardHandler),
			redisstate.WithBudgets(20*time.Second, 20*time.Second)) // a slow machine decides nothing here
		if err != nil {
			t.Fatal(err)
		}
		o.Store, o.Replicas, o.LeaseCursor = s, three, true
		b := started(quiet(o))
		t.Cleanup(func() { b.Close(); s.Close() })
		if err := b.Restore(t.Context()); err != nil {
			t.Fatal(err)
		}
		all = append(all, b)
	}
	return all
}

// counted is how often something was counted.
func counted(c prometheus.Counter) int {
	var m dto.Metric
	if err := c.Write(&m); err != nil {
		return -1
	}
	return int(m.GetCounter().GetValue())
}

func (b *Balancer) asked() int { return counted(b.metrics.asks.WithLabelValues(byRequest)) }

// storm makes so many picks from so many goroutines, at all balancers in turn, and hands each that was had to use.
func storm(fleet []*Balancer, callers, picks int, need Need, use func(*Pick)) {
	var wg sync.WaitGroup
	var next atomic.Int64
	for range callers {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(picks); i = next.Add(1) {
				p, err := fleet[int(i)%len(fleet)].Pick(context.Background(), Ask{Model: "m", Need: need})
				if err == nil {
					use(p)
					p.Report(proxy.Verdict{Outcome: proxy.Served})
					p.Close()
				}
			}
		})
	}
	wg.Wait()
}

// What is let through in any span is at most the burst and what the rate gives in it and a lease's life more.
func TestRateOfAFleet(t *testing.T) {
	const rpm = 3000
	fleet := fleetOf(t, setup{Keys: limited(proxy.Limits{RPM: rpm})})
	var mu sync.Mutex
	var at []time.Time
	storm(fleet, 64, 10_000, Need{}, func(*Pick) {
		mu.Lock()
		defer mu.Unlock()
		at = append(at, time.Now())
	})
	slices.SortFunc(at, time.Time.Compare)
	for i := range at {
		for j := i; j < len(at); j += 7 {
			if most := rpm + rpm/60.*(at[j].Sub(at[i])+lentFor).Seconds(); float64(j-i+1) > most {
				t.Fatalf("%d in %v, at most %.0f", j-i+1, at[j].Sub(at[i]), most)
			}
		}
	}
	if len(at) < rpm*95/100 {
		t.Errorf("%d let through, of at least %d that were there", len(at), rpm)
	}
	t.Logf("%d of 10000 in %v; asked %d, %d, %d times on the path", len(at), at[len(at)-1].Sub(at[0]), fleet[0].asked(), fleet[1].asked(), fleet[2].asked())
}

// A quota is never exceeded, and all of it can be used: what a replica holds and does not need comes back.
func TestQuotaOfAFleet(t *testing.T) {
	const most = 4000
	fleet := fleetOf(t, setup{Keys: limited(proxy.Limits{Quota: []proxy.Budget{{Measure: proxy.Requests, Limit: most, Period: proxy.Total}}})})
	var n atomic.Int64
	storm(fleet, 64, 10_000, Need{}, func(*Pick) { n.Add(1) })
	if n.Load() > most {
		t.Fatalf("%d let through of %d", n.Load(), most)
	}
	for end := time.Now().Add(20 * time.Second); n.Load() < most && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		storm(fleet, 3, 3, Need{}, func(*Pick) { n.Add(1) })
	}
	storm(fleet, 64, 1000, Need{}, func(*Pick) { n.Add(1) })
	if n.Load() != most {
		t.Errorf("%d let through of %d", n.Load(), most)
	}
	for i, b := range fleet {
		if s, _ := b.State("k0"); s.State != string(proxy.Exhausted) || s.Quota == nil || s.Quota.Left != 0 {
			t.Errorf("replica %d: %s, %+v", i, s.State, s.Quota)
		}
	}
}

// There are never more at the same time than may be, and none of the slots is lost.
func TestSlotsOfAFleet(t *testing.T) {
	const most = 40
	fleet := fleetOf(t, setup{Keys: limited(proxy.Limits{Concurrency: most})})
	var now, peak, all atomic.Int64
	storm(fleet, 200, 10_000, Need{}, func(*Pick) {
		n := now.Add(1)
		for p := peak.Load(); n > p && !peak.CompareAndSwap(p, n); p = peak.Load() {
		}
		all.Add(1)
		time.Sleep(time.Millisecond)
		now.Add(-1)
	})
	if peak.Load() > most || peak.Load() < most/2 {
		t.Errorf("%d at the same time, of %d", peak.Load(), most)
	}
	t.Logf("%d of 10000, %d at the same time", all.Load(), peak.Load())
	var held []*Pick
	for end := time.Now().Add(20 * time.Second); len(held) < most && time.Now().Before(end); time.Sleep(time.Millisecond) {
		if p, err := fleet[0].Pick(t.Context(), Ask{}); err == nil {
			held = append(held, p)
		}
	}
	if len(held) != most {
		t.Errorf("%d of %d slots came back", len(held), most)
	}
	for _, p := range held {
		p.Close()
	}
}

// What is charged in the end is what was used, whatever was expected.
func TestTokensAreCorrected(t *testing.T) {
	fleet := fleetOf(t, setup{Keys: limited(proxy.Limits{TPM: 100_000_000, Quota: []proxy.Budget{{Measure: proxy.Tokens, Limit: 10_000_000, Period: proxy.Month}}})})
	var sum atomic.Int64
	storm(fleet, 32, 3000, Need{Tokens: 700}, func(p *Pick) {
		used := int64(p.began % 1500)
		p.Used(Need{Tokens: used})
		sum.Add(used)
	})
	for _, b := range fleet {
		b.Close()
	}
	v, err := fleet[0].Store.Spend(t.Context(), "k:k0", "", newTerms("k:k0", fleet[0].view.Load().keys[0].Limits).charged([]int64{0, 0}))
	if err != nil {
		t.Fatal(err)
	}
	if used := 10_000_000 - v.Balances[1].Left; used != sum.Load() {
		t.Errorf("%d tokens charged, %d used", used, sum.Load())
	}
}

// A busy key costs no round trip on the path: what is needed was asked for before.
func TestBusyKeyAsksAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstate.New()
		var fleet []*Balancer
		for range 3 {
			fleet = append(fleet, balancerOf(t, setup{Store: store, Replicas: three, Keys: limited(proxy.Limits{RPM: 100_000, TPM: 10_000_000,
				Concurrency: 500, Quota: []proxy.Budget{{Measure: proxy.Requests, Limit: 1_000_000, Period: proxy.Day}}})}))
		}
		pick := func(n int) {
			for range n {
				for _, b := range fleet {
					p, err := b.Pick(t.Context(), Ask{Need: Need{Tokens: 500}})
					if err != nil {
						t.Fatal(err)
					}
					p.Close()
				}
				time.Sleep(20 * time.Millisecond)
			}
		}
		pick(100) // it is learned how busy the key is
		before := fleet[0].asked()
		pick(1000)
		if n := fleet[0].asked() - before; n > 0 {
			t.Errorf("asked %d times on the path of 1000 requests", n)
		}
		for _, b := range fleet {
			b.Close()
		}
	})
}

// The slots of a replica that dies are free again in 30 s, what it had taken of a rate has come back by then, and what it had
// of a quota stays charged.
func TestReplicaThatDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstate.New()
		dead := statetest.Switch(store)
		keys := limited(proxy.Limits{RPM: 60, Concurrency: 5})
		one := balancerOf(t, setup{Store: dead, Keys: keys})
		other := balancerOf(t, setup{Store: store, Keys: keys})
		for range 5 {
			if _, err := one.Pick(t.Context(), Ask{}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(20 * time.Second) // they are renewed
		_, err := other.Pick(t.Context(), Ask{})
		var f *proxy.Fault
		if !errors.As(err, &f) || f.Kind != proxy.RateLimited || f.RetryAfter <= 0 {
			t.Fatalf("a sixth at the same time: %v", err)
		}
		if s, _ := other.State("k0"); s.State != string(proxy.Limited) {
			t.Errorf("the key is %s", s.State)
		}
		dead.Off(true)
		time.Sleep(state.SlotLife + time.Second)
		for i := range 5 {
			p, err := other.Pick(t.Context(), Ask{})
			if err != nil {
				t.Fatalf("slot %d: %v", i, err)
			}
			defer p.Close()
		}
		one.Close()
		other.Close()
	})
}

// While the state is away rates and slots go on at their part, quotas at that of what was left; then they are added.
func TestLimitsWithoutTheState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, tt := range []struct {
			name string
			proxy.Limits
			want int
		}{
			{"rate", proxy.Limits{RPM: 60}, 20},
			{"quota", proxy.Limits{Quota: []proxy.Budget{{Measure: proxy.Requests, Limit: 30, Period: proxy.Total}}}, 10},
			{"slots", proxy.Limits{Concurrency: 9}, 3},
		} {
			store := statetest.Switch(memstate.New())
			b := balancerOf(t, setup{Store: store, Replicas: three, Keys: limited(tt.Limits)})
			store.Off(true)
			var picks []*Pick
			for range 40 {
				if p, err := b.Pick(t.Context(), Ask{}); err == nil {
					picks = append(picks, p)
				}
			}
			if len(picks) != tt.want {
				t.Errorf("%s: %d let through, want %d", tt.name, len(picks), tt.want)
			}
			if n := counted(b.metrics.undecided.WithLabelValues("key limits")); n < tt.want {
				t.Errorf("%s: %d decisions counted", tt.name, n)
			}
			for _, p := range picks {
				p.Close()
			}
			store.Off(false)
			time.Sleep(10 * time.Second)
			if tt.name == "quota" {
				if s, _ := b.State("k0"); s.Quota.Left != 20 {
					t.Errorf("afterwards %d are left, want 20", s.Quota.Left)
				}
			}
			b.Close()
		}
	})
}

// Other limits leave what was used where it is, and what was lent comes back.
func TestLimitsChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		day := func(n int64) proxy.Limits {
			return proxy.Limits{Quota: []proxy.Budget{{Measure: proxy.Requests, Limit: n, Period: proxy.Day}}}
		}
		b := balancerOf(t, setup{Keys: limited(day(10), proxy.Limits{})})
		configure := func(l proxy.Limits) {
			b.Configure(quiet(setup{Keys: limited(l, proxy.Limits{}), Store: b.Store}).pool())
			time.Sleep(time.Second)
		}
		use := func() int { return shares(t, b, 40)["k0"] }
		if n := use(); n != 10 {
			t.Fatalf("%d of 10", n)
		}
		configure(day(15))
		if n := use(); n != 5 {
			t.Errorf("%d more after 5 were added", n)
		}
		configure(day(12))
		if n := use(); n != 0 {
			t.Errorf("%d more of a quota that was lowered", n)
		}
		configure(proxy.Limits{})
		if n := use(); n != 20 {
			t.Errorf("%d of 40 without a limit", n)
		}
		configure(day(20))
		if n := use(); n != 5 {
			t.Errorf("%d when the limit is back", n)
		}
		b.Close()
	})
}

// A key that is at a limit is passed over, with the reason; when all are, the caller hears when the first frees. A pool of one
// is limited as well.
func TestLimitedKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := balancerOf(t, setup{Keys: limited(proxy.Limits{RPM: 6}, proxy.Limits{RPM: 12})})
		got := shares(t, b, 20)
		if got["k0"] != 6 || got["k1"] != 12 || got[""] != 2 {
			t.Errorf("shares %v", got)
		}
		_, err := b.Pick(t.Context(), Ask{})
		var f *proxy.Fault
		if !errors.As(err, &f) || f.Kind != proxy.RateLimited || f.RetryAfter <= 4*time.Second || f.RetryAfter > 5*time.Second {
			t.Errorf("%v, after %v", err, f.RetryAfter)
		}
		for _, c := range b.view.Load().Explain(Ask{}, nil).Keys {
			if c.Why != string(proxy.Limited) || c.Until == nil {
				t.Errorf("%+v", c)
			}
		}
		s, _ := b.State("k0")
		if s.State != string(proxy.Limited) || len(s.Limits) != 1 || s.Limits[0].Left != 0 || s.Limits[0].Most != 6 || s.Until.IsZero() {
			t.Errorf("%+v", s)
		}
		time.Sleep(5 * time.Second)
		if got := shares(t, b, 3); got["k1"] != 1 || got[""] != 2 {
			t.Errorf("after 5 s: %v", got)
		}
		sole := balancerOf(t, setup{Keys: limited(proxy.Limits{RPM: 2})})
		if got := shares(t, sole, 3); got["k0"] != 2 {
			t.Errorf("a pool of one: %v", got)
		}
		b.Close()
		sole.Close()
	})
}

// An account's limits are those of all its keys together, and hold beside their own; what a key was charged for an attempt
// that its account refused is given back.
func TestLimitsOfAnAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := limited(proxy.Limits{RPM: 10}, proxy.Limits{}, proxy.Limits{})
		keys[0].Account, keys[1].Account = "org-a", "org-a"
		accounts := []proxy.Account{{ID: "org-a", Limits: proxy.Limits{RPM: 8, Concurrency: 3}}}
		b := balancerOf(t, setup{Keys: keys, Accounts: accounts})
		got := shares(t, b, 30)
		if got["k0"]+got["k1"] != 8 || got["k2"] != 22 {
			t.Errorf("shares %v", got)
		}
		time.Sleep(2 * time.Second) // what was given back is told
		s, _ := b.State("k0")
		if s.Limits[0].Left != int64(10-got["k0"]) || len(s.OfAccount) != 2 || s.OfAccount[0].Left != 0 || s.OfAccount[1].Left != 3 {
			t.Errorf("k0 %+v, its account %+v, after %v", s.Limits, s.OfAccount, got)
		}
		b.Configure(quiet(setup{Keys: keys, Store: b.Store}).pool())
		if got := shares(t, b, 30); got["k0"] != 6 || got["k1"] < 10 {
			t.Errorf("without limits of the account %v", got)
		}
		b.Close()
	})
}
