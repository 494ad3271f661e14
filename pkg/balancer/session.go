package balancer

import (
	"slices"
	"time"

	"openai-api-proxy/pkg/proxy"
)

// UsedMore says what an attempt used besides what it was expected to, while it still goes on: a session may last for an hour,
// and the limits of its key are not to wait for its end. It is told like everything that is owed.
func (p *Pick) UsedMore(n Need) {
	for _, d := range p.drawn {
		if d != nil {
			p.b.lender.more(d, n)
		}
	}
}

// Holds says whether a key is configured now as it was when it was picked, and until when that holds; the zero time: for ever. Its
// weight, its models and its limits may have changed.
func (v *View) Holds(was *proxy.Key) (until time.Time, holds bool) {
	k := v.find(was.ID)
	if k == nil || !k.Enabled || k.Secret != was.Secret || k.Endpoint != was.Endpoint || k.Account != was.Account || k.Pool != was.Pool {
		return until, false
	}
	return k.Expires, k.Expires.IsZero() || time.Now().Before(k.Expires)
}

// Reaches reports whether a pool has a key of the account, be it one that rests.
func (v *View) Reaches(pool, account string) bool {
	return slices.ContainsFunc(v.pools.of(v, served{pool: pool}).keys, func(k *key) bool { return k.Account == account })
}

func (l *lender) more(d *draw, n Need) {
	s := d.share
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, m := range d.terms.measures {
		if m == proxy.Requests || d.alone && !d.terms.isQuota(i) {
			continue // it stays one request; and without the state rates are nobody's to correct
		}
		var start time.Time
		if d.terms.isQuota(i) {
			start = d.terms.charges[i].Quota.Start(time.Now())
		}
		s.oweLocked(d.terms.charges[i].Limit, start, n.of(m))
	}
	if s.holdsLocked() {
		l.activeLocked(s)
	}
}
