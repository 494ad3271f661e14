package balancer

import (
	"context"
	"crypto/rand"
	"maps"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"openai-api-proxy/pkg/proxy"
)

// lender holds what this replica has of the limits of keys and accounts. Only those that have limits are here.
type lender struct {
	store    store
	metrics  *metrics
	replicas func() int
	ctx      context.Context // ends with the balancer
	lending  sync.WaitGroup  // what asks for blocks in the background
	telling  sync.Mutex      // held while what is queued is told, so that it is known when all was
	epoch    string          // of this replica: with a number behind it the name of a reservation
	named    atomic.Uint64

	mu     sync.Mutex // guards the rest; no share is locked while it is held
	all    map[string]*share
	turns  []*share        // that are still to be looked at
	active map[*share]bool // that hold something, or owe it
	queue  []news          // oldest first
	wake   chan struct{}   // capacity 1
}

func newLender(b *Balancer) *lender {
	l := &lender{store: b.Store, metrics: b.metrics, ctx: b.ctx, epoch: "k" + rand.Text()[:12],
		all: map[string]*share{}, active: map[*share]bool{}, wake: make(chan struct{}, 1)}
	l.replicas = func() int {
		if b.Replicas == nil {
			return 1
		}
		return max(b.Replicas(), 1)
	}
	return l
}

// others is how many other replicas there are.
func (l *lender) others() int64 { return int64(l.replicas() - 1) }

func (l *lender) name() string { return l.epoch + "-" + strconv.FormatUint(l.named.Add(1), 36) }

// set puts the limits of a subject in force, and reports whether they are others than before. What was used is kept; what
// was lent under the limits before goes back. nil: nothing is limited.
func (l *lender) set(subject string, limits *proxy.Limits) (s *share, changed bool) {
	l.mu.Lock()
	s = l.all[subject]
	if s == nil && limits.Any() {
		s = &share{subject: subject, gate: make(chan struct{}, slotAsks)}
		l.all[subject] = s
	}
	if s != nil && !limits.Any() {
		delete(l.all, subject)
	}
	l.mu.Unlock()
	if s == nil {
		return nil, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.terms != nil && s.terms.limits.Equal(limits) {
		return s, false
	}
	if !limits.Any() {
		s.renewLocked(nil)
		s = nil
	} else {
		s.renewLocked(newTerms(subject, *limits))
	}
	return s, true
}

// renewLocked puts other terms in force.
func (s *share) renewLocked(t *terms) {
	s.endLocked(time.Now(), true)
	owed, before := s.owed, s.terms
	s.terms, s.owed, s.stand, s.wanted, s.lent = t, nil, nil, nil, nil
	s.recent, s.alone, s.no, s.calm, s.over = recent{}, alone{}, refusal{}, time.Time{}, time.Time{}
	s.refused.Store(0)
	s.spent.Store(0)
	s.shut.Store(0)
	s.money.Store(t != nil && t.limits.Counts(proxy.Dollars))
	for i := range s.slots.idle {
		s.slots.idle[i].kept = time.Time{}
	}
	if t == nil {
		return
	}
	s.owed, s.stand, s.wanted = make([]owing, len(t.charges)), make([]standing, len(t.charges)), make([]int64, len(t.charges))
	s.lent = make([]int64, len(t.charges))
	for i, o := range owed {
		s.oweLocked(before.charges[i].Limit, o.start, o.units)
	}
}

// activeLocked sees to it that what the share holds is returned in time. The caller holds the lock of the share.
func (l *lender) activeLocked(s *share) {
	if s.active {
		return
	}
	s.active = true
	l.mu.Lock()
	l.active[s] = true
	l.mu.Unlock()
	l.rouse()
}

func (l *lender) rouse() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// holding are the shares that hold something.
func (l *lender) holding() []*share {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Collect(maps.Keys(l.active))
}

// mostWaits is how often a request waits for what another one asks for, before it asks by itself.
const mostWaits = 3

// units takes the units of a draw: of what is at hand, of what somebody asks for already, or of what it asks for.
func (l *lender) units(d *draw) bool {
	s, others := d.share, l.others()
	for waits := 0; ; waits++ {
		s.mu.Lock()
		now := time.Now()
		if s.terms != d.terms { // configured anew meanwhile
			s.mu.Unlock()
			d.stale = true
			return false
		}
		if waits == 0 {
			s.recent.see(d.costs, now)
		}
		if s.takeLocked(d, now) {
			ahead := s.runsDryLocked(now, others)
			if ahead {
				s.asking = make(chan struct{})
			}
			s.mu.Unlock()
			if ahead {
				l.ahead(s, d.terms, d.costs)
			}
			return true
		}
		if s.believesLocked(d, now) {
			limit := s.no.limit
			s.noteSpentLocked()
			s.mu.Unlock()
			l.metrics.limit(limit)
			return false
		}
		if s.asking == nil || waits == mostWaits {
			return l.askLocked(d, others)
		}
		asked := s.asking
		s.wantLocked(d.costs, 1)
		s.mu.Unlock()
		<-asked
		s.mu.Lock()
		if s.terms == d.terms {
			s.wantLocked(d.costs, -1)
		}
		s.mu.Unlock()
	}
}

// askLocked asks for a block for a draw, unless somebody else does so, and otherwise for what it needs. It gives up the lock.
func (l *lender) askLocked(d *draw, others int64) bool {
	s, size := d.share, d.costs
	mine := s.asking == nil
	if mine {
		s.asking, size = make(chan struct{}), s.sizeLocked(d.costs, others)
	}
	s.mu.Unlock()
	ok := l.lend(d.terms, size, d)
	if !ok && !slices.Equal(size, d.costs) {
		ok = l.lend(d.terms, d.costs, d)
	}
	if mine {
		s.mu.Lock()
		s.askedLocked()
		s.mu.Unlock()
	}
	return ok
}

// askedLocked lets those go on who wait for the block.
func (s *share) askedLocked() {
	close(s.asking)
	s.asking = nil
}

// ahead asks for the next block before the present one is used up, so that nobody waits for it. An empty one is not asked for: the
// state keeps no reservation of nothing, and what would be told along with it of other blocks would be lost.
func (l *lender) ahead(s *share, t *terms, costs []int64) {
	ask := func() {
		s.mu.Lock()
		known := s.terms == t
		var size []int64
		if known {
			size = s.sizeLocked(costs, l.others())
		}
		s.mu.Unlock()
		ok := known && slices.ContainsFunc(size, func(n int64) bool { return n > 0 }) && l.lend(t, size, &draw{share: s, terms: t})
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.askedLocked(); !ok {
			s.calm = time.Now().Add(doubt)
		}
	}
	if l.ctx.Err() == nil {
		l.lending.Go(ask)
		return
	}
	s.mu.Lock()
	s.askedLocked()
	s.mu.Unlock()
}

// Who asks the state for a part of a limit.
const (
	byRequest   = "request"
	aheadOfNeed = "ahead"
)

// lend asks the state for a block, of which the draw takes its costs at once; one without costs takes none.
func (l *lender) lend(t *terms, size []int64, d *draw) bool {
	s, name, begin := d.share, l.name(), time.Now()
	charges, by := t.charged(size), byRequest
	if d.costs == nil {
		by = aheadOfNeed
	}
	l.metrics.asks.WithLabelValues(by).Inc()
	if !l.retold(s) {
		return d.costs != nil && l.unitsAlone(d)
	}
	v, err := l.store.Spend(context.Background(), s.subject, name, charges)
	if err != nil {
		l.withdraw(s.subject, name, charges, err)
		return d.costs != nil && l.unitsAlone(d)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	present := s.terms == t // else it was configured anew meanwhile
	if !v.OK {
		if present {
			s.noteLocked(v.Balances, begin)
		}
		if present && d.costs != nil && slices.Equal(size, d.costs) {
			s.refuseLocked(v.Refused, d.costs, v.RetryAfter, time.Now())
			l.metrics.limit(v.Refused)
		}
		return false
	}
	b := newLoan(t, name, size, v.Balances, begin)
	if d.costs != nil {
		b.serve(d)
		d.countLocked(true)
	}
	s.loans = append(s.loans, b)
	if present {
		s.alone, s.no = alone{}, refusal{}
		s.refused.Store(0)
		s.noteLocked(v.Balances, begin)
	}
	l.activeLocked(s)
	return true
}
