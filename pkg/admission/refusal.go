package admission

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
)

// refused is a refusal.
type refused struct {
	limit    string
	wait     time.Duration // until it frees, from since; negative: never
	balances []state.Balance
	since    time.Time
	client   *proxy.Client
	cost     int64 // what was asked of the limit
}

const (
	// remembered is how long a refusal is repeated without asking again, at most: a flood of a client that is over its limit
	// must not become one of the shared state.
	remembered = 250 * time.Millisecond
	// rememberedSlot is that for slots, which may be freed at any moment, elsewhere too.
	rememberedSlot = 50 * time.Millisecond
	// firstForget is the number of refusals from which old ones are looked for.
	firstForget = 1024
)

// refusals are those of the last moments, of each client the latest.
type refusals struct {
	latest atomic.Int64 // unix ns after which none of them holds: most requests find so without the lock

	mu    sync.Mutex // guards both
	of    map[string]refused
	sweep int // size at which the map is next looked through
}

func newRefusals() *refusals { return &refusals{of: map[string]refused{}, sweep: firstForget} }

// until is when a refusal must be asked for again: never later than the limit frees.
func (r refused) until() time.Time {
	most := remembered
	if r.limit == slots {
		most = rememberedSlot
	}
	if r.wait >= 0 {
		most = min(most, r.wait)
	}
	return r.since.Add(most)
}

// find is a refusal that holds for the permit as well: it asks for as much, or more. What is left to wait is shorter by now.
func (r *refusals) find(p *Permit, now time.Time) (refused, bool) {
	if now.UnixNano() >= r.latest.Load() {
		return refused{}, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	known, found := r.of[p.subject]
	if !found || known.client != p.client || !now.Before(known.until()) || costOf(p, known.limit) < known.cost {
		return refused{}, false
	}
	if known.wait >= 0 {
		known.wait -= now.Sub(known.since)
	}
	return known, true
}

// costOf is what a permit asks of a limit.
func costOf(p *Permit, limit string) int64 {
	for _, c := range p.charges {
		if c.Limit == limit {
			return c.Cost
		}
	}
	return 0
}

func (r *refusals) note(p *Permit, known refused) {
	known.client, known.cost = p.client, costOf(p, known.limit)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.of[p.subject] = known
	r.latest.Store(max(r.latest.Load(), known.until().UnixNano()))
	if len(r.of) < r.sweep {
		return
	}
	for subject, old := range r.of {
		if !known.since.Before(old.until()) {
			delete(r.of, subject)
		}
	}
	r.sweep = max(2*len(r.of), firstForget)
}

// forget asks again for a client at once: something was given back.
func (r *refusals) forget(subject string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.of, subject)
}

// refusal is the fault that tells the caller which limit it was and when it frees.
func refusal(p *Permit, r refused) *proxy.Fault {
	kind, what := proxy.RateLimited, ""
	var charge state.Charge
	for _, c := range p.charges {
		if c.Limit == r.limit {
			charge = c
		}
	}
	switch r.limit {
	case requests:
		what = fmt.Sprintf("rate limit of %d requests per minute reached", p.client.RPM)
	case tokens:
		what = fmt.Sprintf("rate limit of %d tokens per minute reached; this request may use %d", p.client.TPM, charge.Cost)
	case slots:
		what = fmt.Sprintf("limit of %d requests at the same time reached", p.client.Concurrency)
	default:
		kind = proxy.OverBudget
		budget := proxy.Budget{Measure: measureOf(charge), Limit: charge.Quota.Limit, Period: charge.Quota.Period}
		what = fmt.Sprintf("quota of %s used up", perPeriod(budget))
		if p.client.Strict && budget.Measure != proxy.Requests {
			need := proxy.Budget{Measure: budget.Measure, Limit: charge.Cost}
			what = fmt.Sprintf("quota of %s has less left than the %s that this request may use", perPeriod(budget), need.Amount())
		}
	}
	f := &proxy.Fault{Kind: kind, Public: what}
	switch {
	case r.wait >= 0:
		f.RetryAfter = r.wait
		f.Public += "; try again in " + milliseconds(r.wait).String()
	case kind == proxy.RateLimited || charge.Quota.Period != proxy.Total:
		f.Public += "; that is more than the limit allows at any time"
		f.Spent = true
	default:
		f.Public += "; it does not renew"
		f.Spent = true
	}
	return f
}

func perPeriod(b proxy.Budget) string {
	if b.Period == proxy.Total {
		return b.Amount() + " in total"
	}
	return b.Amount() + " per " + string(b.Period)
}
