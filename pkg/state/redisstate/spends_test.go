package redisstate

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/redistest"
	"openai-api-proxy/pkg/state"
	"openai-api-proxy/pkg/state/memstate"
)

// batches makes asks and settlements at random, for two subjects whose limits change now and then.
type batches struct {
	*rand.Rand
	names []string
	made  map[string]*ask // by reservation, as it was asked first
}

// charges refill nothing while a test runs.
func (b *batches) charges() []state.Charge {
	cost := int64(b.IntN(12))
	all := []state.Charge{
		{Limit: "tpm", Cost: cost, Rate: state.Rate{Count: 1, Per: time.Hour, Burst: 300 + 100*int64(b.IntN(8)/7)}},
		{Limit: "tokens/day", Cost: cost, Quota: state.Quota{Limit: 500, Period: proxy.Day, Zone: time.FixedZone("east", 5*3600)}},
		{Limit: "usd/total", Cost: int64(b.IntN(20)), Quota: state.Quota{Limit: 900, Period: proxy.Total}},
	}
	if b.IntN(3) > 0 {
		all = append(all, state.Charge{Limit: "concurrency", Cost: min(cost, 1), Slots: 30})
	}
	return all
}

func (b *batches) asks(n int) (all []*ask) {
	for range n {
		a := &ask{subject: fmt.Sprint("c:", b.IntN(2)), charges: b.charges(), err: errUnanswered}
		switch k := b.IntN(10); {
		case k == 0 && len(a.charges) == 3: // for what takes a slot must be settled
		case k == 1 && len(b.names) > 0:
			again := b.made[b.names[b.IntN(len(b.names))]]
			a.subject, a.reservation, a.charges = again.subject, again.reservation, again.charges
		default:
			a.reservation = fmt.Sprint("r", len(b.names))
			b.names, b.made[a.reservation] = append(b.names, a.reservation), a
		}
		all = append(all, a)
	}
	return all
}

// settlements are some, also of what was refused or settled before, and some twice.
func (b *batches) settlements(n int) (all []state.Settlement) {
	if len(b.names) == 0 {
		return nil
	}
	for range n {
		a := b.made[b.names[b.IntN(len(b.names))]]
		s := state.Settlement{Subject: a.subject, Reservation: a.reservation, Unheard: a.reservation[len(a.reservation)-1] < '3'}
		for i, c := range a.charges {
			if c.Slots == 0 {
				s.Amounts = append(s.Amounts, state.Spending{Charge: c, Start: a.verdict.Balances[i].Start, Spent: int64(b.IntN(14))})
			}
		}
		if b.IntN(5) == 0 {
			s.Reservation, s.Apart, s.Unheard = fmt.Sprint("apart", b.IntN(50)), true, false
		}
		all = append(all, s)
	}
	return all
}

// alike compares two verdicts that were made a moment apart.
func alike(a, b state.Verdict) bool {
	near := func(x, y time.Duration) bool { return (x < 0) == (y < 0) && (x-y).Abs() < time.Minute }
	if a.OK != b.OK || a.Refused != b.Refused || !near(a.RetryAfter, b.RetryAfter) || len(a.Balances) != len(b.Balances) {
		return false
	}
	for i, x := range a.Balances {
		if y := b.Balances[i]; x.Limit != y.Limit || x.Left != y.Left || !x.Start.Equal(y.Start) || !near(x.Reset, y.Reset) {
			return false
		}
	}
	return true
}

// Whatever comes together is decided as if it had come one by one, in order, by the store in memory.
func TestTogetherAsOneByOne(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	for round := range uint64(8) {
		s, model := opened(t, redistest.Start(t).URL()), memstate.New()
		b := &batches{rand.New(rand.NewPCG(seed, round)), nil, map[string]*ask{}}
		for step := range 12 {
			asks := b.asks(1 + b.IntN(1+b.IntN(3*scriptBatch)))
			s.carry(t.Context(), asks)
			for i, a := range asks {
				want, err := model.Spend(t.Context(), a.subject, a.reservation, a.charges)
				if a.err != nil || err != nil || !alike(a.verdict, want) {
					t.Fatalf("round %d, step %d, ask %d of %d, %q %+v:\n%+v, %v, want\n%+v, %v", round, step, i, len(asks), a.reservation,
						a.charges, a.verdict, a.err, want, err)
				}
			}
			settled := b.settlements(b.IntN(3 * scriptBatch))
			for _, store := range []state.Store{s, model} {
				if err := store.Settle(t.Context(), settled); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := model.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Of two clients that ask at two replicas at once each gets what it may have and not one more, and everybody the answer to what
// he asked: who was told yes is open, and who was told no is not.
func TestEachHasItsOwnAnswer(t *testing.T) {
	server := redistest.Start(t)
	replicas := []*Store{opened(t, server.URL()), opened(t, server.URL())}
	const limit = 500
	var admitted [2]atomic.Int64
	var open sync.Map
	var all sync.WaitGroup
	for i := range 64 {
		all.Go(func() {
			for k := range 30 {
				who := (i + k) % 2
				r := fmt.Sprint(i, "-", k)
				v, err := replicas[i/2%2].Spend(t.Context(), fmt.Sprint("c:", who), r,
					[]state.Charge{{Limit: "requests/total", Cost: 1, Quota: state.Quota{Limit: limit, Period: proxy.Total}}})
				if err != nil {
					t.Error(err)
				}
				if v.OK {
					admitted[who].Add(1)
					open.Store(fmt.Sprint(who, r), true)
				}
			}
		})
	}
	all.Wait()
	for who := range admitted {
		if n := admitted[who].Load(); n != limit {
			t.Errorf("client %d: %d admitted of %d", who, n, limit)
		}
		names, err := replicas[0].slow.ZRange(t.Context(), replicas[0].keys.open(fmt.Sprint("c:", who)), 0, -1).Result()
		if err != nil || len(names) != limit {
			t.Errorf("client %d: %d open, %v", who, len(names), err)
		}
		for _, r := range names {
			if _, told := open.Load(fmt.Sprint(who, r)); !told {
				t.Errorf("client %d: %s was charged and not told so", who, r)
			}
		}
	}
	for _, s := range replicas {
		if trips := s.hotGuard.trips.Load(); trips > 64*30/4 {
			t.Errorf("%d trips for %d spendings", trips, 64*30/2)
		}
	}
}

// crowd spends for many callers of two clients at once, some of whom leave, while the server is about to stop. Nobody may be
// refused. It returns how many of each were admitted after all, and how to settle what had no answer as not spent.
func crowd(t *testing.T, s *Store, charge state.Charge) (admitted [2]int64, unheard []state.Settlement) {
	var mu sync.Mutex // guards both
	var all sync.WaitGroup
	for i := range 40 {
		all.Go(func() {
			ctx := t.Context()
			if i%4 == 1 {
				var leave context.CancelFunc
				ctx, leave = context.WithTimeout(ctx, time.Duration(i)*time.Millisecond)
				defer leave()
			}
			r := fmt.Sprint(s.epoch, "-", i)
			v, err := s.Spend(ctx, fmt.Sprint("c:", i%2), r, []state.Charge{charge})
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil && v.OK:
				admitted[i%2]++
			case !errors.Is(err, state.ErrUnavailable):
				t.Errorf("%+v, %v", v, err)
			case !errors.Is(err, state.ErrUnsent):
				unheard = append(unheard, state.Settlement{Subject: fmt.Sprint("c:", i%2), Reservation: r, Unheard: true,
					Amounts: []state.Spending{{Charge: charge}}})
			}
		})
	}
	all.Wait()
	return admitted, unheard
}

// A Redis that stops in the middle of a batch refuses nobody. What it may have taken is given back, whether it has or not.
func TestStopsInTheMiddle(t *testing.T) {
	server := redistest.Start(t)
	s := opened(t, server.URL())
	charge := state.Charge{Limit: "tokens/total", Cost: 10, Quota: state.Quota{Limit: 100_000, Period: proxy.Total}}
	if _, err := s.Spend(t.Context(), "c:0", "", []state.Charge{charge}); err != nil { // the script is known, and a connection open
		t.Fatal(err)
	}
	thaw := freeze(s, server)
	admitted, unheard := crowd(t, s, charge)
	thaw() // now it carries out what it had been sent
	eventually(t, func() bool { return s.Settle(t.Context(), unheard) == nil })
	for who, full := range []int64{99_990, 100_000} {
		eventually(t, func() bool {
			charge.Cost = 0
			v, err := s.Spend(t.Context(), fmt.Sprint("c:", who), "", []state.Charge{charge})
			return err == nil && v.Balances[0].Left == full-10*admitted[who]
		})
	}
}

// A Redis that is killed in the middle of a batch refuses nobody either, and decides again when it is back.
func TestKilledInTheMiddle(t *testing.T) {
	server := redistest.Start(t)
	s := opened(t, server.URL())
	charge := state.Charge{Limit: "tokens/total", Cost: 10, Quota: state.Quota{Limit: 100_000, Period: proxy.Total}}
	if _, err := s.Spend(t.Context(), "c:0", "", []state.Charge{charge}); err != nil {
		t.Fatal(err)
	}
	server.Freeze()
	s.budgets = budgets{hotTimeout, slowTimeout}
	killed := make(chan struct{})
	go func() {
		defer close(killed)
		time.Sleep(20 * time.Millisecond)
		server.Kill()
	}()
	_, unheard := crowd(t, s, charge)
	<-killed
	server.Run()
	s.budgets = budgets{patience, patience}
	eventually(t, func() bool { return s.Settle(t.Context(), unheard) == nil })
	eventually(t, func() bool {
		v, err := s.Spend(t.Context(), "c:0", "", []state.Charge{charge})
		return err == nil && v.OK && v.Balances[0].Left == 99_990
	})
}

// What each of several asks finds left is worked out from what the limits had before them: one that took nothing counts for nothing.
func TestBalancesOfManyAsks(t *testing.T) {
	s := opened(t, redistest.Start(t).URL())
	saying := func(reservation string, cost int64) *ask {
		return &ask{subject: "c:one", reservation: reservation, err: errUnanswered, charges: []state.Charge{
			{Limit: "tpm", Cost: cost, Rate: state.Rate{Count: 100, Per: time.Hour, Burst: 100}},
			{Limit: "tokens/month", Cost: cost, Quota: state.Quota{Limit: 1000, Period: proxy.Month}},
			{Limit: "concurrency", Cost: min(cost, 1), Slots: 3}}}
	}
	if v, err := s.Spend(t.Context(), "c:one", "before", saying("before", 5).charges); err != nil || !v.OK {
		t.Fatal(v, err)
	}
	asks := []*ask{saying("a", 10), saying("a", 10), saying("b", 90), saying("before", 7), saying("", 0), saying("c", 20), saying("d", 1)}
	s.carry(t.Context(), asks)
	for i, want := range []struct {
		refused             string
		rate, quota, places int64
	}{{"", 85, 985, 1}, {"", 85, 985, 1}, {"tpm", 85, 985, 1}, {"", 85, 985, 1}, {"", 85, 985, 1}, {"", 65, 965, 0}, {"concurrency", 65, 965, 0}} {
		v := asks[i].verdict
		if asks[i].err != nil || v.OK != (want.refused == "") || v.Refused != want.refused || (v.RetryAfter > 0) == v.OK {
			t.Fatalf("ask %d: %+v, %v", i, v, asks[i].err)
		}
		if b := v.Balances; b[0].Left != want.rate || b[1].Left != want.quota || b[2].Left != want.places || !b[1].Start.Equal(asks[i].charges[1].Quota.Start(time.Now())) {
			t.Errorf("ask %d finds %+v, want %+v", i, b, want)
		}
	}
}
