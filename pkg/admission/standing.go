package admission

import (
	"context"
	"time"

	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
)

// Standings is how each limit of the client stood before the request and stands after it, as far as the state has told;
// a request that was refused took nothing.
func (p *Permit) Standings(refused bool) (before, after []proxy.Standing) {
	if p == nil {
		return nil, nil
	}
	for i, b := range p.balances {
		s := proxy.Standing{Limit: b.Limit, Left: b.Left, ResetMs: -1}
		if b.Reset >= 0 {
			s.ResetMs = b.Reset.Milliseconds()
		}
		after = append(after, s)
		if !refused && i < len(p.charges) {
			s.Left += p.charges[i].Cost
		}
		before = append(before, s)
	}
	return before, after
}

// Balance is how a quota stands. What running requests are expected to use is counted as used, and so is what replicas have
// been lent for the next moment.
type Balance struct {
	proxy.Budget
	Used   int64     // above the limit where a soft client used more than was expected
	Resets time.Time // zero: never
}

// Balances reads how the quotas of a client stand, in their order. An error wraps state.ErrUnavailable.
func (a *Admission) Balances(ctx context.Context, c *proxy.Client) ([]Balance, error) {
	if len(c.Quota) == 0 {
		return nil, nil
	}
	charges := make([]state.Charge, len(c.Quota))
	for i, b := range c.Quota {
		b.Limit = most // nobody reaches it: what is left of the real one is never told to be less than nothing
		charges[i] = chargeOf(c, b, amounts{})
		charges[i].Cost = 0
	}
	v, err := a.store.Spend(ctx, "c:"+c.ID, "", charges)
	if err != nil {
		return nil, err
	}
	all := make([]Balance, len(charges))
	for i, b := range v.Balances {
		all[i] = Balance{Budget: c.Quota[i], Used: most - b.Left}
		if b.Reset >= 0 {
			all[i].Resets = time.Now().Add(b.Reset).Round(time.Second) // periods end at whole seconds
		}
	}
	return all, nil
}
