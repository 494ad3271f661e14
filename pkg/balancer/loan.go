package balancer

import (
	"slices"
	"time"

	"openai-api-proxy/pkg/state"
)

// What a block is charged is settled once: with what was not used of it when its time is over, or, when all of it was, as
// soon as the requests that used it have ended. What requests used beyond their estimates, or less, is told along with
// whatever block of the share is settled next, and by itself only when there is none.

// owedFor is how long what is owed may wait for a block that is settled.
const owedFor = time.Second

// newLoan is a block that the state has lent since a time.
func newLoan(t *terms, name string, size []int64, balances []state.Balance, since time.Time) *loan {
	b := &loan{terms: t, name: name, costs: size, left: slices.Clone(size), starts: make([]time.Time, len(size)), until: since.Add(lentFor)}
	for i, is := range balances {
		b.starts[i] = is.Start
		if end := since.Add(is.Reset); t.isQuota(i) && is.Reset >= 0 && end.Before(b.until) {
			b.until = end // what is left of a period cannot be spent in the next
		}
	}
	return b
}

// serve gives a draw what it needs of a block that is large enough.
func (b *loan) serve(d *draw) {
	d.from, d.start = b, b.starts
	b.live++
	for i, cost := range d.costs {
		b.left[i] -= cost
	}
}

// endLocked ends the blocks whose time is over, or all of them.
func (s *share) endLocked(now time.Time, all bool) {
	kept := s.loans[:0]
	for _, b := range s.loans {
		if !all && now.Before(b.until) && b.terms == s.terms {
			kept = append(kept, b)
			continue
		}
		s.ended = append(s.ended, b)
	}
	clear(s.loans[len(kept):])
	s.loans = kept
}

// used reports whether nothing is left of a block.
func (b *loan) used() bool {
	for _, left := range b.left {
		if left > 0 {
			return false
		}
	}
	return true
}

// settleLocked is what is to be told of blocks that have ended, and of what is owed. With all of it nothing waits.
func (s *share) settleLocked(now time.Time, all bool, name func() string) (told []state.Settlement) {
	late := s.owesLocked() && now.Sub(s.told) >= owedFor
	kept := s.ended[:0]
	for _, b := range s.ended {
		if !all && b.live > 0 && b.used() && !late {
			kept = append(kept, b)
			continue
		}
		b.closed = true
		told = append(told, s.settlementLocked(b))
		s.told = now
		late = late && s.owesLocked()
	}
	clear(s.ended[len(kept):])
	s.ended = kept
	if s.owesLocked() && (all || late && len(s.loans) == 0) {
		told = append(told, s.correctionLocked(name()))
		s.told = now
	}
	return told
}

// settlementLocked is the truth about a block, with what is owed of the same limits.
func (s *share) settlementLocked(b *loan) state.Settlement {
	settled := state.Settlement{Subject: s.subject, Reservation: b.name}
	for i, c := range b.terms.charges {
		c.Cost = b.costs[i]
		spent := c.Cost - b.left[i]
		switch o := s.owedLocked(c.Limit); {
		case o == nil:
		case o.start.Equal(b.starts[i]) || c.Rate.Count > 0:
			spent += o.units
			*o = owing{}
		case o.start.Before(b.starts[i]): // its period is over
			*o = owing{}
		}
		s.moveLocked(c.Limit, b.starts[i], spent-c.Cost)
		settled.Amounts = append(settled.Amounts, state.Spending{Charge: c, Start: b.starts[i], Spent: spent})
	}
	return settled
}

// correctionLocked is what is owed, by itself.
func (s *share) correctionLocked(name string) state.Settlement {
	settled := state.Settlement{Subject: s.subject, Reservation: name, Apart: true}
	for i, o := range s.owed {
		if o.units != 0 {
			settled.Amounts = append(settled.Amounts, state.Spending{Charge: s.terms.charges[i], Start: o.start, Spent: o.units})
			s.moveLocked(s.terms.charges[i].Limit, o.start, o.units)
		}
		s.owed[i] = owing{}
	}
	return settled
}

// owedLocked is what is owed of a limit; nil: the limit is no more.
func (s *share) owedLocked(limit string) *owing {
	if s.terms == nil {
		return nil
	}
	i := s.terms.index(limit)
	if i < 0 {
		return nil
	}
	return &s.owed[i]
}

func (s *share) owesLocked() bool {
	for _, o := range s.owed {
		if o.units != 0 {
			return true
		}
	}
	return false
}

// oweLocked adds to what is owed. What belongs to a period before the latest changes nothing any more.
func (s *share) oweLocked(limit string, start time.Time, units int64) {
	o := s.owedLocked(limit)
	if o == nil || units == 0 || start.Before(o.start) {
		return
	}
	if start.After(o.start) {
		*o = owing{start: start}
	}
	if !s.owesLocked() {
		s.told = time.Now()
	}
	o.units += units
}

// giveBackLocked undoes a draw of which nothing was used.
func (s *share) giveBackLocked(d *draw) {
	b := d.from
	if b != nil {
		b.live--
	}
	for i, cost := range d.costs {
		switch {
		case b != nil && !d.apart && !b.closed:
			b.left[i] += cost
		case !d.alone || d.terms.isQuota(i):
			s.oweLocked(d.terms.charges[i].Limit, d.startOf(i), -cost)
		}
	}
}

// correctLocked puts what was used in the place of what was drawn.
func (s *share) correctLocked(d *draw, used []int64) {
	if d.from != nil {
		d.from.live--
	}
	for i, cost := range d.costs {
		if !d.alone || d.terms.isQuota(i) {
			s.oweLocked(d.terms.charges[i].Limit, d.startOf(i), used[i]-cost)
		}
	}
}

// startOf is when the period began that a draw was charged in; zero: it is of no quota.
func (d *draw) startOf(i int) time.Time {
	switch {
	case !d.terms.isQuota(i):
		return time.Time{}
	case d.start == nil: // nothing was expected of it
		return d.terms.charges[i].Quota.Start(time.Now())
	default:
		return d.start[i]
	}
}
