package balancer

import "time"

// draw is what one attempt took of a share.
type draw struct {
	share   *share
	terms   *terms
	costs   []int64
	from    *loan // that it took the last of its units from
	apart   bool  // it took from several
	alone   bool  // decided without the state
	stale   bool  // it could not be decided: the limits are others now
	start   []time.Time
	slot    string
	counted bool // what is expected of it is counted
	held    bool // a slot, by name or without
}

// draw takes what a request needs of a share, or nothing of it. It asks the state only when nothing is at hand.
func (l *lender) draw(s *share, n Need) (*draw, bool) {
	s.mu.Lock()
	t := s.terms
	s.mu.Unlock()
	if t == nil {
		return nil, true
	}
	d := &draw{share: s, terms: t, costs: t.costs(n)}
	taken := t.limits.Concurrency == 0 || l.slot(d)
	if !taken && !d.stale {
		l.metrics.limited.WithLabelValues(atOnce).Inc()
	}
	if taken && len(t.charges) > 0 {
		taken = l.units(d)
	}
	if !taken {
		l.finishDraw(d, func(*draw) {})
	}
	switch {
	case d.stale:
		return l.draw(s, n)
	case !taken:
		return nil, false
	}
	return d, true
}

// countLocked counts what is expected of the draw among what goes on, or no longer.
func (d *draw) countLocked(on bool) {
	s := d.share
	if s.terms != d.terms || d.counted == on {
		return
	}
	for i, cost := range d.costs {
		if on {
			s.lent[i] += cost
		} else {
			s.lent[i] -= cost
		}
	}
	d.counted = on
}

// undo gives back a draw of which nothing was used.
func (l *lender) undo(d *draw) {
	if d != nil {
		l.finishDraw(d, d.share.giveBackLocked)
	}
}

// end ends a draw. What was used is put in the place of what was expected, where it is known.
func (l *lender) end(d *draw, used Need, known bool) {
	if d == nil {
		return
	}
	real := d.costs
	if known {
		real = make([]int64, len(d.costs))
		for i, m := range d.terms.measures {
			real[i] = used.of(m)
		}
	}
	l.finishDraw(d, func(d *draw) { d.share.correctLocked(d, real) })
}

func (l *lender) finishDraw(d *draw, settleLocked func(*draw)) {
	s, slot := d.share, d.held
	s.mu.Lock()
	settleLocked(d)
	d.countLocked(false)
	s.leaveLocked(d, time.Now(), l.others())
	if s.holdsLocked() {
		l.activeLocked(s)
	}
	s.mu.Unlock()
	if slot {
		l.rouse()
	}
}
