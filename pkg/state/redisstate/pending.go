package redisstate

import "time"

// lookPause is the shortest time between two looks at those that wait.
const lookPause = time.Millisecond

// pending are the asks of a line whose callers wait, with one timer for all, which hardly ever goes off: each would set and stop one
// for nothing. The line's mutex guards it.
type pending struct {
	first, last *ask
	timer       *time.Timer
	at          time.Time // when the timer goes off; zero: it does not run
}

// due is when something has to be done about an ask, if it is not told until then.
func (a *ask) due() time.Time {
	if overdue := a.came.Add(overdue); !a.aboard && !a.late && overdue.Before(a.until) {
		return overdue
	}
	return a.until
}

// add adds one that has come. look is called when one is due.
func (p *pending) add(a *ask, look func()) {
	a.next, a.prev = nil, p.last
	if p.last == nil {
		p.first = a
	} else {
		p.last.next = a
	}
	p.last = a
	p.wakeBy(a.due(), look)
}

func (p *pending) remove(a *ask) {
	if a.prev == nil {
		p.first = a.next
	} else {
		a.prev.next = a.next
	}
	if a.next == nil {
		p.last = a.prev
	} else {
		a.next.prev = a.prev
	}
	a.next, a.prev = nil, nil
}

// wakeBy has the timer go off by then. One that goes off for somebody who was told meanwhile is not stopped: that costs more.
func (p *pending) wakeBy(at time.Time, look func()) {
	if !p.at.IsZero() && !at.Before(p.at) {
		return
	}
	p.at = at
	if p.timer == nil {
		p.timer = time.AfterFunc(time.Until(at), look)
		return
	}
	p.timer.Reset(time.Until(at))
}

// set sets the timer anew after it went off. Those that are due at nearly the same time are looked at together: while Redis stands
// thousands may wait, and each look passes over all.
func (p *pending) set(look func()) {
	p.at = time.Time{}
	var at time.Time
	for a := p.first; a != nil; a = a.next {
		if due := a.due(); at.IsZero() || due.Before(at) {
			at = due
		}
	}
	if soonest := time.Now().Add(lookPause); !at.IsZero() && at.Before(soonest) {
		at = soonest
	}
	if !at.IsZero() {
		p.wakeBy(at, look)
	}
}
