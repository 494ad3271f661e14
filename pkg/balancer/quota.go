package balancer

import (
	"context"
	"math"
	"sync/atomic"
	"time"

	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
)

// quota is a key's own request quota, which is counted in the state for each attempt.
type quota struct {
	subject string
	charges []state.Charge
	balance *atomic.Pointer[balance]
}

// balance is what was known last of the quota that is nearest to its end.
type balance struct {
	limit, left int64
	resets      time.Time // zero: never
}

func (q *quota) of(k *proxy.Key, v *vitals) {
	q.subject, q.balance = "k:"+k.ID, &v.balance
	for _, limit := range k.Quota {
		q.charges = append(q.charges, state.Charge{Limit: "requests/" + string(limit.Period), Cost: 1,
			Quota: state.Quota{Limit: limit.Requests, Period: limit.Period}})
	}
}

// spend takes one request; false means that the quota is used up, and that the key rests until it is not.
func (q *quota) spend(ctx context.Context, b *Balancer) bool {
	if len(q.charges) == 0 {
		return true
	}
	v, err := b.Store.Spend(ctx, q.subject, "", q.charges)
	if err != nil {
		b.metrics.undecided.WithLabelValues("key quota").Inc()
		return true
	}
	q.note(v)
	return v.OK
}

// readQuotas learns what is left of the keys' quotas.
func (b *Balancer) readQuotas(ctx context.Context, keys []*key) error {
	for _, k := range keys {
		if err := k.quota.read(ctx, b.Store); err != nil {
			return err
		}
	}
	return nil
}

// read learns what is left without taking any.
func (q *quota) read(ctx context.Context, s store) error {
	if len(q.charges) == 0 {
		return nil
	}
	free := make([]state.Charge, len(q.charges))
	for i, c := range q.charges {
		c.Cost = 0
		free[i] = c
	}
	v, err := s.Spend(ctx, q.subject, "", free)
	if err == nil {
		q.note(v)
	}
	return err
}

func (q *quota) note(v state.Verdict) {
	nearest := balance{left: math.MaxInt64}
	for i, held := range v.Balances {
		if held.Left >= nearest.left {
			continue
		}
		nearest = balance{limit: q.charges[i].Quota.Limit, left: held.Left}
		if held.Reset >= 0 {
			nearest.resets = time.Now().Add(held.Reset)
		}
	}
	q.balance.Store(&nearest)
}

// left is how many requests are left, if there is a quota.
func (q *quota) left() (int64, bool) {
	held := q.balance.Load()
	if held == nil {
		return 0, false
	}
	if !held.resets.IsZero() && time.Now().After(held.resets) {
		return held.limit, true
	}
	return held.left, true
}
