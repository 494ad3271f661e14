package balancer

import (
	"time"

	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
)

// The names of limits, in the state too. A quota's is its measure and period: "tokens/month".
const (
	requestsPerMinute = "rpm"
	tokensPerMinute   = "tpm"
	atOnce            = "concurrency"
)

// Need is what a request is expected to use of the limits of a key and of its account, besides itself.
type Need struct {
	Tokens, NanoUSD int64
	Unpriced        bool // nobody knows what it costs, so no key may serve it whose money is limited
}

// terms are the limits of a key or an account as one configuration has them. They never change.
type terms struct {
	limits   proxy.Limits
	subject  string         // "k:key1", "a:org-a"
	charges  []state.Charge // its rates and quotas, without costs
	measures []proxy.Measure
	metered  bool // some of them count what is known only when a request has ended
}

func newTerms(subject string, l proxy.Limits) *terms {
	t := &terms{limits: l, subject: subject, metered: l.Metered()}
	rate := func(name string, count int64, m proxy.Measure) {
		if count > 0 {
			t.charges = append(t.charges, state.Charge{Limit: name, Rate: state.Rate{Count: count, Per: time.Minute, Burst: count}})
			t.measures = append(t.measures, m)
		}
	}
	rate(requestsPerMinute, l.RPM, proxy.Requests)
	rate(tokensPerMinute, l.TPM, proxy.Tokens)
	for _, b := range l.Quota {
		t.charges = append(t.charges, state.Charge{Limit: string(b.Measure) + "/" + string(b.Period),
			Quota: state.Quota{Limit: b.Limit, Period: b.Period}})
		t.measures = append(t.measures, b.Measure)
	}
	return t
}

// costs are what a request takes of each limit. Nothing costs more than a limit has in all: a request whose estimate is too
// large would never be let through. What it really used is charged in full when it has ended.
func (t *terms) costs(n Need) []int64 {
	all := make([]int64, len(t.charges))
	for i, m := range t.measures {
		all[i] = min(n.of(m), t.most(i))
	}
	return all
}

func (n Need) of(m proxy.Measure) int64 {
	switch m {
	case proxy.Tokens:
		return max(n.Tokens, 0)
	case proxy.Dollars:
		return max(n.NanoUSD, 0)
	default:
		return 1
	}
}

// most is all that a limit ever lets through at once.
func (t *terms) most(i int) int64 {
	if c := &t.charges[i]; c.Rate.Count > 0 {
		return c.Rate.Burst
	} else {
		return c.Quota.Limit
	}
}

// isQuota reports whether a limit is one that frees only at the end of its period.
func (t *terms) isQuota(i int) bool { return t.charges[i].Rate.Count == 0 }

// charged are the charges with their costs.
func (t *terms) charged(costs []int64) []state.Charge {
	all := make([]state.Charge, len(t.charges))
	for i, c := range t.charges {
		c.Cost = costs[i]
		all[i] = c
	}
	return all
}

// slot is the charge of a request at the same time as others; with a cost of 0 it asks how many there are.
func (t *terms) slot(cost int64) state.Charge {
	return state.Charge{Limit: atOnce, Cost: cost, Slots: t.limits.Concurrency}
}

// index is where a limit stands; -1: it is none of these.
func (t *terms) index(limit string) int {
	for i := range t.charges {
		if t.charges[i].Limit == limit {
			return i
		}
	}
	return -1
}
