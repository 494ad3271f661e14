package admission

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"openai-api-proxy/pkg/openai"
	"openai-api-proxy/pkg/price"
	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/redistest"
	"openai-api-proxy/pkg/state/memstate"
	"openai-api-proxy/pkg/state/redisstate"
)

// spender sends requests of a strict client and keeps the account that the client's state should come to.
type spender struct {
	prices  *price.Table
	client  *proxy.Client
	paid    atomic.Int64 // nano-dollars of the requests that have ended
	served  atomic.Int64
	refused atomic.Int64
}

var sizes = []int{200, 900, 4000}

// spend sends one request and settles it in one of the ways in which requests end. It reports whether it was decided.
func (s *spender) spend(t *testing.T, a *Admission, random *rand.Rand) bool {
	models := []string{"gpt-4o-mini", "gpt-4o-2024-08-06", "o3", "gpt-6.2-sol", "stepped"}
	model, most, choices := models[random.IntN(len(models))], 1+random.Int64N(400), 1+random.Int64N(3)
	size := sizes[random.IntN(len(sizes))]
	ask := sized(size, fmt.Sprintf(`,"max_tokens":%d,"n":%d`, most, choices))
	ask.Head.Model, ask.Price = model, s.prices.AtMost
	p, err := a.Admit(context.Background(), s.client, ask)
	if err != nil {
		switch kindOf(err) {
		case proxy.OverBudget:
			s.refused.Add(1)
		case proxy.LimitsUnknown: // Redis was slow: what it may have charged is given back
			return false
		default:
			t.Error(err)
		}
		return true
	}
	s.served.Add(1)
	u := openai.Usage{Input: random.Int64N(int64(size) + around + 1), Output: random.Int64N(most*choices + 1), Basis: openai.Exact}
	u.Cached = random.Int64N(u.Input + 1)
	u.Written = random.Int64N(u.Input + 1)
	if all := int64(size) + around; random.IntN(4) == 0 { // as much as the bound allows, in one of the ways
		u.Input, u.Output = all, most*choices
		u.Cached, u.Written = []int64{0, all}[random.IntN(2)], []int64{0, all}[random.IntN(2)]
	}
	bill, known := s.prices.Cost(model, u)
	spent := Spent{Usage: u, Cost: bill, Priced: known}
	switch random.IntN(8) {
	case 0:
		spent = Spent{} // nobody knows
		bill = p.expected.nanoUSD
	case 1:
		spent, bill = Spent{Unexecuted: true}, 0
	case 2:
		spent.Usage.Basis = openai.Partial // a strict client whose answer was cut pays what was expected
		bill = p.expected.nanoUSD
	}
	if n := s.paid.Add(bill); n > s.client.Quota[0].Limit {
		t.Errorf("%s dollars of %s spent", proxy.DollarText(n), proxy.DollarText(s.client.Quota[0].Limit))
	}
	p.Settle(context.Background(), spent)
	return true
}

// spenders are many at once, at every replica.
func (s *spender) spenders(t *testing.T, replicas []*Admission, seed uint64) {
	const callers, calls = 32, 60
	var all sync.WaitGroup
	for i := range uint64(callers) {
		all.Go(func() {
			random := rand.New(rand.NewPCG(seed, i))
			end := time.Now().Add(5 * time.Minute)
			for decided := 0; decided < calls && time.Now().Before(end); {
				if s.spend(t, replicas[random.IntN(len(replicas))], random) {
					decided++
				} else {
					time.Sleep(20 * time.Millisecond)
				}
			}
		})
	}
	all.Wait()
}

// Strict money is not exceeded by a billionth of a dollar, however many ask at once, at two replicas, for models of all
// prices; and what is counted is what was charged.
func TestStrictMoneyIsExact(t *testing.T) {
	step := price.Model{Pattern: "stepped", Above: 1000, // some bounds are above the step, and some truths below
		Rates: price.Rates{Input: 3_000_000_001, Cached: 7, Written: 4_000_000_000, Output: 9_000_000_000},
		Long:  price.Rates{Input: 6_000_000_000, Cached: 70, Written: 8_000_000_000, Output: 9_000_000_001}}
	for name, open := range map[string]func(t *testing.T) []buckets{"embedded": oneEmbedded, "redis": twoOnRedis} {
		t.Run(name, func(t *testing.T) {
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			stores := open(t)
			var replicas []*Admission
			for _, store := range stores {
				a := New(store, Options{Lease: true, Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry()})
				defer a.Close()
				replicas = append(replicas, a)
			}
			const limit = 1_234_567_891 // nano-dollars, 1.23 dollars
			s := &spender{prices: price.NewTable([]price.Model{step}), client: &proxy.Client{ID: "strict", Strict: true,
				Quota: []proxy.Budget{budget(proxy.Dollars, limit, proxy.Total)}}}
			s.spenders(t, replicas, seed)
			for _, a := range replicas {
				told(t, a)
				if n := value(t, a.metrics.overshoot); n != 0 {
					t.Errorf("%d requests cost more than their bound", n)
				}
			}
			counted := limit - left(t, stores[0], s.client)["usd/total"]
			t.Logf("%d served, %d refused, %s of %s dollars", s.served.Load(), s.refused.Load(), proxy.DollarText(counted), proxy.DollarText(limit))
			if counted != s.paid.Load() || counted < limit/2 || s.refused.Load() == 0 {
				t.Errorf("%d counted, %d charged, %d refused: of %d", counted, s.paid.Load(), s.refused.Load(), limit)
			}
		})
	}
}

func oneEmbedded(*testing.T) []buckets {
	s := memstate.New()
	return []buckets{s, s}
}

func twoOnRedis(t *testing.T) (all []buckets) {
	server := redistest.Start(t)
	for range 2 {
		s, err := redisstate.Open(server.URL(), "oap", "v1", slog.New(slog.DiscardHandler), redisstate.WithBudgets(20*time.Second, 20*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		all = append(all, s)
	}
	return all
}

// What is left is read without being charged, also when a soft client has used more than there was.
func TestBalances(t *testing.T) {
	for name, open := range map[string]func(t *testing.T) []buckets{"embedded": oneEmbedded, "redis": twoOnRedis} {
		t.Run(name, func(t *testing.T) {
			a := New(open(t)[0], Options{Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry()})
			defer a.Close()
			c := &proxy.Client{ID: "soft", RPM: 5, Burst: 5, Quota: []proxy.Budget{budget(proxy.Dollars, 3000, proxy.Month), budget(proxy.Requests, 10, proxy.Total)}}
			for range 2 { // reading changes nothing
				all, err := a.Balances(t.Context(), c)
				if err != nil || len(all) != 2 || all[0].Used != 0 || all[1].Used != 0 {
					t.Fatalf("%+v, %v", all, err)
				}
			}
			admitted(t, a, c, sized(300, `,"max_tokens":10`)).Settle(t.Context(), exact(5000, 5))
			told(t, a)
			all, err := a.Balances(t.Context(), c)
			if err != nil || all[0].Budget != c.Quota[0] || all[0].Used != cost(exact(5000, 5).Usage) || all[1].Used != 1 {
				t.Errorf("%+v, %v", all, err)
			}
			if until := time.Until(all[0].Resets); until <= 0 || until > 32*24*time.Hour || all[0].Resets.Nanosecond() != 0 || !all[1].Resets.IsZero() {
				t.Errorf("resets at %v, %v", all[0].Resets, all[1].Resets)
			}
			if none, err := a.Balances(t.Context(), &proxy.Client{ID: "free"}); err != nil || len(none) != 0 {
				t.Errorf("%+v, %v", none, err)
			}
		})
	}
}
