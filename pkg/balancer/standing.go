package balancer

import (
	"context"
	"math"
	"time"

	"openai-api-proxy/pkg/proxy"
)

// Standing is how a limit of a key or an account stands, over all replicas, as far as is known here.
type Standing struct {
	Limit   string // "rpm", "tpm", "concurrency", or "tokens/month"
	Measure proxy.Measure
	Period  proxy.Period // of a quota
	Most    int64
	Left    int64
	Resets  time.Time // when all of it is there again; zero: never, or not known
}

// read learns how the limits of a share stand, unless that was heard a short time ago.
func (l *lender) read(ctx context.Context, s *share, old time.Duration) error {
	s.mu.Lock()
	t, begin := s.terms, time.Now()
	fresh := t != nil && len(s.stand) > 0 && s.stand[0].known && begin.Sub(s.stand[0].at) < old
	s.mu.Unlock()
	if t == nil || fresh {
		return nil
	}
	charges := t.charged(make([]int64, len(t.charges)))
	if t.limits.Concurrency > 0 {
		charges = append(charges, t.slot(0))
	}
	v, err := l.store.Spend(ctx, s.subject, "", charges)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.terms != t {
		return nil
	}
	s.noteLocked(v.Balances, begin)
	if t.limits.Concurrency > 0 {
		s.slots.free, s.slots.heard = v.Balances[len(t.charges)].Left, true
	}
	return nil
}

// standings tells how all limits of a share stand.
func (s *share) standings(now time.Time) []Standing {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.terms == nil {
		return nil
	}
	all := make([]Standing, 0, len(s.terms.charges)+1)
	for i, c := range s.terms.charges {
		is := Standing{Limit: c.Limit, Measure: s.terms.measures[i], Period: c.Quota.Period, Most: s.terms.most(i)}
		is.Left = is.Most
		if s.stand[i].known {
			is.Left = min(s.leftLocked(i, now)+s.atHandLocked(i), is.Most)
			if is.Resets = s.stand[i].full; !is.Resets.After(now) {
				is.Resets = time.Time{}
			}
			if s.terms.isQuota(i) {
				is.Resets = is.Resets.Round(time.Second) // periods end at whole seconds
			}
		}
		all = append(all, is)
	}
	if most := s.terms.limits.Concurrency; most > 0 {
		left := most - int64(len(s.slots.busy)+s.slots.unnamed)
		if s.slots.heard {
			left = min(left, s.slots.free+int64(len(s.slots.idle)))
		}
		all = append(all, Standing{Limit: atOnce, Measure: proxy.Requests, Most: most, Left: max(left, 0)})
	}
	return all
}

// isSpent reports whether a quota is used up; until zero: for ever.
func (s *share) isSpent(now int64) (until time.Time, is bool) {
	if s == nil {
		return time.Time{}, false
	}
	at := s.spent.Load()
	if now < s.certain.Load() || now >= at {
		return time.Time{}, false
	}
	if at == math.MaxInt64 {
		return time.Time{}, true
	}
	return time.Unix(0, at), true
}

// isShut reports whether a quota is used up and nobody asks for more.
func (s *share) isShut(now int64) bool { return s != nil && now < s.shut.Load() }

// isRefused reports whether nothing is to be had of a share at a time (unix ns), as far as is known.
func (s *share) isRefused(now int64) bool { return s != nil && now < s.refused.Load() }

// frees is why the limit refused that refused last and has not freed since, and when it will; zero: never.
func (s *share) frees(now time.Time) (why proxy.Reason, at time.Time, is bool) {
	if s == nil {
		return "", time.Time{}, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.terms == nil || s.no.limit == "" || !s.no.frees.IsZero() && !now.Before(s.no.frees) {
		return "", time.Time{}, false
	}
	i := s.terms.index(s.no.limit)
	switch {
	case i < 0 || !s.terms.isQuota(i):
		return proxy.Limited, s.no.frees, true
	case s.terms.measures[i] != proxy.Requests && (s.stand[i].left+s.lent[i] >= s.no.costs[i] || now.Sub(s.no.since) < surely):
		return proxy.Limited, now.Add(lentFor), true // less may be used than was expected of requests that go on
	default:
		return proxy.Exhausted, s.no.frees, true
	}
}

// nearest is the quota that is nearest to its end.
func nearest(all []Standing) (is Standing, found bool) {
	for _, one := range all {
		if one.Period != "" && (!found || float64(one.Left)*float64(is.Most) < float64(is.Left)*float64(one.Most)) {
			is, found = one, true
		}
	}
	return is, found
}
