package balancer

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
	"openai-api-proxy/pkg/state/memstate"
)

// unsteady is a state whose answers take some time, and of which some are lost.
type unsteady struct {
	store
	mu   sync.Mutex // guards dice
	dice *rand.Rand
	lost atomic.Int64 // of 100 answers
}

func (u *unsteady) toss(n int) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.dice.IntN(n)
}

func (u *unsteady) wait() { time.Sleep(time.Duration(u.toss(20_000)) * time.Microsecond) }

func (u *unsteady) answer() error {
	if int64(u.toss(100)) < u.lost.Load() {
		return state.ErrUnavailable
	}
	return nil
}

func (u *unsteady) Spend(ctx context.Context, subject, reservation string, charges []state.Charge) (state.Verdict, error) {
	u.wait()
	v, err := u.store.Spend(ctx, subject, reservation, charges)
	u.wait()
	if lost := u.answer(); lost != nil {
		return state.Verdict{}, lost
	}
	return v, err
}

func (u *unsteady) Settle(ctx context.Context, all []state.Settlement) error {
	err := u.store.Settle(ctx, all) // takes no time: a lock is held meanwhile, for which the clock of the test would stand still
	if lost := u.answer(); lost != nil {
		return lost
	}
	return err
}

// After bursts whose requests use less than was expected of them, or more, what a quota says is what was used, to the token.
func TestQuotaSaysWhatWasUsed(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	for trial := range uint64(300) {
		synctest.Test(t, func(t *testing.T) { quotaAfterBursts(t, rand.New(rand.NewPCG(seed, trial)), trial) })
		if t.Failed() {
			return
		}
	}
}

func quotaAfterBursts(t *testing.T, dice *rand.Rand, trial uint64) {
	whole := int64(1000 + dice.IntN(100_000))
	limits := proxy.Limits{Quota: []proxy.Budget{{Measure: proxy.Tokens, Limit: whole, Period: proxy.Total}}}
	if dice.IntN(2) == 0 {
		limits.TPM = int64(1000 + dice.IntN(1_000_000))
	}
	if dice.IntN(2) == 0 {
		limits.RPM = int64(50 + dice.IntN(5000))
	}
	lost := 0
	if dice.IntN(3) == 0 {
		lost = dice.IntN(20)
	}
	u := &unsteady{store: memstate.New(), dice: rand.New(rand.NewPCG(dice.Uint64(), 1))}
	u.lost.Store(int64(lost))
	replicas := 1 + dice.IntN(3)
	var fleet []*Balancer
	for range replicas {
		b := started(quiet(setup{Keys: limited(limits), Store: u, Replicas: func() int { return replicas }}))
		defer b.Close()
		fleet = append(fleet, b)
	}
	var used atomic.Int64
	expected := int64(1 + dice.IntN(int(whole/20)))
	for range 1 + dice.IntN(4) {
		burst(fleet, dice, expected, &used)
		time.Sleep(time.Duration(dice.IntN(3000)) * time.Millisecond)
	}
	u.lost.Store(0)
	time.Sleep(20 * time.Second)
	charge := state.Charge{Limit: "tokens/total", Quota: state.Quota{Limit: whole, Period: proxy.Total}}
	v, err := u.store.Spend(t.Context(), "k:k0", "", []state.Charge{charge})
	if err != nil {
		t.Fatal(err)
	}
	if want := max(whole-used.Load(), 0); v.Balances[0].Left != want {
		t.Errorf("trial %d: %d are left of %d, want %d; %d expected of each, %d replicas, %+v, %d of 100 answers lost", trial, v.Balances[0].Left, whole, want,
			expected, replicas, limits, lost)
	}
}

// burst has many requests at about the same time, each of which takes some time and uses what it uses.
func burst(fleet []*Balancer, dice *rand.Rand, expected int64, used *atomic.Int64) {
	var all sync.WaitGroup
	for range 1 + dice.IntN(100) {
		b, need := fleet[dice.IntN(len(fleet))], Need{Tokens: expected * int64(dice.IntN(3)) / 2}
		begin, takes := time.Duration(dice.IntN(2000))*time.Millisecond, time.Duration(dice.IntN(3000))*time.Millisecond
		real, how := need.Tokens*int64(dice.IntN(100))/100, dice.IntN(20)
		if how < 2 {
			real = need.Tokens + int64(dice.IntN(50))
		}
		all.Go(func() {
			time.Sleep(begin)
			p, err := b.Pick(context.Background(), Ask{Model: "m", Need: need})
			if err != nil {
				return
			}
			time.Sleep(takes)
			switch how {
			case 0: // what was expected stays
				used.Add(need.Tokens)
			case 1: // more, while it goes on
				p.UsedMore(Need{Tokens: real})
				p.Used(Need{})
				used.Add(real)
			case 2: // nothing was done
				p.Used(Need{})
			default:
				p.Used(Need{Tokens: real})
				used.Add(real)
			}
			p.Report(proxy.Verdict{Outcome: proxy.Served})
			p.Close()
		})
	}
	all.Wait()
}
