package balancer

import (
	"context"
	"errors"
	"slices"
	"time"

	"openai-api-proxy/pkg/state"
)

// While the state does not answer, a share goes on by itself: its rates and slots at the limit divided by the replicas last
// seen, and its quotas at that part of what was left of them when the state was heard last. What was let through is added to
// the quotas when it answers again; of rates and slots it decides again from then on. Each decision made here is counted
// in oap_state_undecided_total.

// alone is what a share let through by itself.
type alone struct {
	full  []time.Time // of each rate: when all of it would be there again
	part  []int64     // of each quota: what it may spend by itself
	spent []owing     // of each quota, since the state was heard last
}

// partLocked is what this replica may spend of a quota by itself: its part of what was left when the state was heard last.
func (s *share) partLocked(i, replicas int, now time.Time) int64 {
	if !s.terms.isQuota(i) {
		return 0
	}
	left := s.terms.most(i)
	if s.stand[i].known {
		left = s.leftLocked(i, now)
	}
	return max(left, 0) / int64(replicas)
}

// unitsAlone decides on a draw without the state.
func (l *lender) unitsAlone(d *draw) bool {
	l.metrics.undecided.WithLabelValues("key limits").Inc()
	s, replicas, now := d.share, l.replicas(), time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if d.stale = s.terms != d.terms; d.stale {
		return false
	}
	if s.alone.full == nil {
		n := len(d.terms.charges)
		s.alone = alone{make([]time.Time, n), make([]int64, n), make([]owing, n)}
		for i := range s.alone.part {
			s.alone.part[i] = s.partLocked(i, replicas, now)
		}
	}
	for i, cost := range d.costs {
		if ok, wait := s.affordsAloneLocked(i, cost, replicas, now); !ok {
			s.refuseLocked(d.terms.charges[i].Limit, d.costs, wait, now)
			return false
		}
	}
	d.alone, d.start = true, make([]time.Time, len(d.costs))
	for i, cost := range d.costs {
		c := &d.terms.charges[i]
		if d.terms.isQuota(i) {
			d.start[i] = c.Quota.Start(now)
			if !s.alone.spent[i].start.Equal(d.start[i]) && s.alone.spent[i].units > 0 { // another period has begun
				s.alone.spent[i], s.alone.part[i] = owing{}, d.terms.most(i)/int64(replicas)
			}
			s.alone.spent[i] = owing{d.start[i], s.alone.spent[i].units + cost}
			s.oweLocked(c.Limit, d.start[i], cost)
			continue
		}
		rate := c.Rate.Share(replicas)
		s.alone.full[i] = later(s.alone.full[i], now).Add(rate.Span(min(cost, rate.Burst)))
	}
	l.activeLocked(s)
	return true
}

// retold tells what a share spent of quotas by itself, so that the state knows of it before it lends more. It reports whether
// that was heard.
func (l *lender) retold(s *share) bool {
	s.mu.Lock()
	untold := slices.ContainsFunc(s.alone.spent, func(o owing) bool { return o.units > 0 })
	if untold && s.owesLocked() {
		l.tell(s.correctionLocked(l.name()))
	}
	s.mu.Unlock()
	if !untold {
		return true
	}
	ctx, cancel := context.WithTimeout(context.Background(), retellWithin)
	defer cancel()
	return l.telling.TryLock() && l.flushLocked(ctx)
}

// retellWithin is how long a request waits for that.
const retellWithin = 200 * time.Millisecond

// affordsAloneLocked reports whether this replica's part of a limit has room for a cost, and when it will.
func (s *share) affordsAloneLocked(i int, cost int64, replicas int, now time.Time) (bool, time.Duration) {
	c := &s.terms.charges[i]
	if s.terms.isQuota(i) {
		wait := time.Duration(-1)
		if end := c.Quota.End(now); !end.IsZero() {
			wait = end.Sub(now)
		}
		if spent := &s.alone.spent[i]; spent.units > 0 && !spent.start.Equal(c.Quota.Start(now)) {
			return cost <= s.terms.most(i)/int64(replicas), wait
		}
		return cost == 0 || s.alone.spent[i].units+cost <= s.alone.part[i], wait
	}
	rate := c.Rate.Share(replicas)
	over := later(s.alone.full[i], now).Add(rate.Span(min(cost, rate.Burst))).Sub(now) - rate.Tolerance()
	return cost == 0 || over <= 0, over
}

// slotAlone gives a request a slot of this replica's part of them.
func (l *lender) slotAlone(d *draw) bool {
	l.metrics.undecided.WithLabelValues("key limits").Inc()
	s := d.share
	s.mu.Lock()
	defer s.mu.Unlock()
	if d.stale = s.terms != d.terms; d.stale {
		return false
	}
	most := max(d.terms.limits.Concurrency/int64(l.replicas()), 1)
	if int64(len(s.slots.busy)+s.slots.unnamed) >= most {
		s.refuseLocked(atOnce, nil, state.SlotWait, time.Now())
		return false
	}
	s.holdLocked(d, "", time.Now())
	return true
}

// withdraw gives back what may have been charged by a call whose answer was lost.
func (l *lender) withdraw(subject, name string, charges []state.Charge, err error) {
	if errors.Is(err, state.ErrUnsent) {
		return
	}
	settled := state.Settlement{Subject: subject, Reservation: name, Unheard: true}
	for _, c := range charges {
		a := state.Spending{Charge: c}
		if c.Rate.Count == 0 {
			a.Start = c.Quota.Start(time.Now())
		}
		settled.Amounts = append(settled.Amounts, a)
	}
	l.tell(settled)
}
