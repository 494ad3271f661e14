package balancer

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
)

const (
	// lentFor is how long a block is served from. What is let through in any span is at most what the limits allow in one that
	// is longer by this.
	lentFor = time.Second
	// spareBlocks is how many blocks must be left of a limit for each other replica: near its end requests are charged one by
	// one, since what one replica holds would be refused to the others.
	spareBlocks = 4
	// busyFrom is the requests a second, with a key in this replica, from which blocks are taken.
	busyFrom = 2
	// doubt is how long a refusal is believed without asking again, and slotDoubt that of a slot, which may be freed at any
	// moment: a flood at a key that is at its limit must not become one of the shared state.
	doubt     = 250 * time.Millisecond
	slotDoubt = 50 * time.Millisecond
)

// share is what this replica holds of the limits of one key or account: blocks of units that were charged in the state
// already, and slots. An attempt takes from it without asking anybody. What is not used goes back.
type share struct {
	subject string
	refused atomic.Int64 // unix ns up to which nothing is to be had, as far as is known
	spent   atomic.Int64 // unix ns up to which a quota is used up; math.MaxInt64: for ever
	certain atomic.Int64 // unix ns from which on that is certain
	shut    atomic.Int64 // unix ns up to which nobody asks for more of it
	money   atomic.Bool  // it is limited

	gate chan struct{} // of those who ask for a slot at the same time

	mu     sync.Mutex // guards the rest; not held while the state is asked
	terms  *terms     // nil: nothing is limited any more
	active bool       // it is looked at by the one who returns what is left
	loans  []*loan    // blocks to draw from, oldest first
	ended  []*loan    // all of which was used, by requests that go on
	owed   []owing    // by limit: what requests used beyond what was charged for them, or less
	told   time.Time  // when some of that was told last
	stand  []standing // of each limit, as it was heard last
	recent recent
	asking chan struct{} // closed when the block is there that somebody asks for; nil: nobody does
	wanted []int64       // by those who wait for it
	lent   []int64       // what is expected of requests that go on
	over   time.Time     // since when a quota has been used up; zero: none is
	calm   time.Time     // no block is asked for before, unless for want of one
	slots  slots
	alone  alone
	no     refusal // the latest
}

// loan is a block of units of every limit.
type loan struct {
	terms  *terms
	name   string // of its reservation
	costs  []int64
	left   []int64
	starts []time.Time // of the periods of quotas
	until  time.Time
	live   int // requests that took the last of it and go on
	closed bool
}

// owing is what is to be told of a limit.
type owing struct {
	start time.Time // of a quota's period
	units int64
}

// standing is how a limit stood when the state said so last.
type standing struct {
	known bool
	left  int64
	at    time.Time
	full  time.Time // when all of it is there again; zero: never, or not known
}

// refusal is that of a limit.
type refusal struct {
	limit string
	costs []int64   // what was asked for; nil: a slot
	since time.Time // of the first of several
	until time.Time // it is believed
	frees time.Time // the limit frees; zero: never
}

// takeLocked serves a draw from the blocks that are at hand.
func (s *share) takeLocked(d *draw, now time.Time) bool {
	s.endLocked(now, false)
	for i, cost := range d.costs {
		if cost > s.atHandLocked(i) {
			return false
		}
	}
	for i, cost := range d.costs {
		for _, b := range s.loans {
			if part := min(cost, b.left[i]); part > 0 {
				b.left[i] -= part
				cost -= part
				d.apart = d.apart || d.from != nil && d.from != b
				d.from = b
			}
		}
	}
	if d.from != nil {
		d.from.live++
		d.start = d.from.starts
	}
	d.countLocked(true)
	s.no.since = now // whatever refused, it was not for long
	return true
}

// atHandLocked is how many units of a limit can be taken here.
func (s *share) atHandLocked(i int) (n int64) {
	for _, b := range s.loans {
		n += b.left[i]
	}
	return n
}

// sizeLocked is the block to ask for: what those want who wait, and what was used in a second lately, but of that no more than
// leaves enough for the others. It is never less than one request takes.
func (s *share) sizeLocked(costs []int64, others int64) []int64 {
	size, now := slices.Clone(costs), time.Now()
	for i, cost := range costs {
		size[i] = max(cost, min(cost+s.wanted[i], s.leftLocked(i, now)))
		if used := s.recent.expect(i); used > size[i] {
			size[i] = max(size[i], min(used, s.sparedLocked(i, others)))
		}
	}
	return size
}

// wantLocked notes that somebody waits, or no longer does, for the block that is asked for.
func (s *share) wantLocked(costs []int64, sign int64) {
	for i, cost := range costs {
		s.wanted[i] += sign * cost
	}
}

// sparedLocked is the largest block that may be taken of a limit while there are others.
func (s *share) sparedLocked(i int, others int64) int64 {
	left := s.leftLocked(i, time.Now())
	if others == 0 {
		return left
	}
	return left / (spareBlocks * others)
}

// leftLocked is what the state has left of a limit, as far as is known.
func (s *share) leftLocked(i int, now time.Time) int64 {
	is := &s.stand[i]
	if !is.known {
		return 0
	}
	if s.terms.isQuota(i) {
		if !is.full.IsZero() && !now.Before(is.full) {
			return s.terms.most(i)
		}
		return is.left
	}
	rate := s.terms.charges[i].Rate
	return rate.Units(rate.Tolerance() - max(is.full.Sub(now), 0))
}

// runsDryLocked reports whether the next block should be asked for before this one is used up.
func (s *share) runsDryLocked(now time.Time, others int64) bool {
	if !s.recent.busy() || s.asking != nil || now.Before(s.calm) {
		return false
	}
	last := now
	for _, b := range s.loans {
		last = b.until
	}
	short := last.Sub(now) < lentFor/3
	for i := range s.terms.charges {
		used := s.recent.expect(i)
		if used > 0 && s.sparedLocked(i, others) < max(used/spareBlocks, 1) {
			return false // near its end they are asked for one by one
		}
		short = short || used > 0 && s.atHandLocked(i) < used/2
	}
	return short
}

// noteLocked takes over how the limits stand.
func (s *share) noteLocked(balances []state.Balance, now time.Time) {
	for i := range s.terms.charges {
		b := balances[i]
		is := standing{known: true, left: b.Left, at: now}
		if b.Reset >= 0 {
			is.full = now.Add(b.Reset)
		}
		s.stand[i] = is
	}
	if i := s.terms.index(s.no.limit); i >= 0 && s.terms.isQuota(i) && s.stand[i].left >= s.no.costs[i] {
		s.no = refusal{} // there is as much again as was asked for
	}
	s.noteSpentLocked()
}

// surely is how long a quota of tokens or money must be used up until that is certain: here and elsewhere more may have been
// expected of requests than they will use.
const surely = 2 * time.Second

// noteSpentLocked finds out whether a quota is used up, here and in the state.
func (s *share) noteSpentLocked() {
	var spent, certain, shut int64
	now, over := time.Now(), false
	for i, m := range s.terms.measures {
		is := &s.stand[i]
		if !s.terms.isQuota(i) || !is.known || is.left > 0 || s.atHandLocked(i) > 0 {
			continue
		}
		until := int64(math.MaxInt64)
		if !is.full.IsZero() {
			until = is.full.UnixNano()
		}
		if over = true; s.over.IsZero() {
			s.over = now
		}
		if m == proxy.Requests {
			spent, shut = max(spent, until), max(shut, until)
			continue
		}
		if is.left+s.lent[i] <= 0 {
			spent, certain = max(spent, until), s.over.Add(surely).UnixNano()
		}
		shut = max(shut, min(until, now.Add(lentFor).UnixNano()))
	}
	if !over {
		s.over = time.Time{}
	}
	s.spent.Store(spent)
	s.certain.Store(certain)
	s.shut.Store(shut)
}

// moveLocked moves how a limit stands by what the state is told of it: more was used than it knows, or less.
func (s *share) moveLocked(limit string, start time.Time, units int64) {
	if s.terms == nil {
		return
	}
	i := s.terms.index(limit)
	if i < 0 || !s.stand[i].known {
		return
	}
	switch c := &s.terms.charges[i]; {
	case !s.terms.isQuota(i):
		s.stand[i].full = s.stand[i].full.Add(c.Rate.Span(units))
	case c.Quota.Start(time.Now()).Equal(start):
		s.stand[i].left -= units
		s.noteSpentLocked()
	}
}

// refuseLocked remembers a refusal.
func (s *share) refuseLocked(limit string, costs []int64, wait time.Duration, now time.Time) {
	most := doubt
	if costs == nil {
		most = slotDoubt
	}
	r := refusal{limit: limit, costs: costs, since: now, until: now.Add(most)}
	if s.no.limit == limit {
		r.since = s.no.since
	}
	if wait >= 0 {
		r.frees = now.Add(wait)
		r.until = now.Add(min(most, wait))
	}
	s.no = r
	if i := s.terms.index(limit); i < 0 || s.atHandLocked(i) == 0 {
		s.refused.Store(r.until.UnixNano())
	}
}

// believesLocked reports whether it is known that a draw would be refused.
func (s *share) believesLocked(d *draw, now time.Time) bool {
	if !now.Before(s.no.until) || s.no.costs == nil {
		return false
	}
	i := s.terms.index(s.no.limit)
	return i >= 0 && i < len(d.costs) && d.costs[i] >= s.no.costs[i]
}
