package balancer

import (
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
