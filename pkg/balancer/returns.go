package balancer

import (
	"context"
	"maps"
	"slices"
	"time"

	"openai-api-proxy/pkg/state"
)

const (
	// returnEvery is how often shares are looked at that hold something.
	returnEvery = 100 * time.Millisecond
	// renewEvery is how often slots are renewed: two renewals may be lost before a slot is. renewAgain is that after one was.
	renewEvery, renewAgain = 8 * time.Second, time.Second
	// lookEvery is the time in which it is asked once how the limits of each subject stand that this replica did not use, and
	// lookLeast that between two such questions: with very many subjects it takes longer.
	lookEvery, lookLeast = 5 * time.Second, 50 * time.Millisecond
	// mostUntold bounds what waits to be told in an outage; the oldest is given up.
	mostUntold = 50_000
	// toldAtOnce is how many settlements are told together.
	toldAtOnce = 500
)

// news is a settlement that is to be told.
type news struct {
	state.Settlement
	slot *share // whose slot it frees; nil: none
}

// tell queues settlements that free no slot.
func (l *lender) tell(all ...state.Settlement) { l.put(nil, all) }

func (l *lender) put(slot *share, all []state.Settlement) {
	if len(all) == 0 {
		return
	}
	l.mu.Lock()
	for _, one := range all {
		l.queue = append(l.queue, news{one, slot})
	}
	if over := len(l.queue) - mostUntold; over > 0 {
		l.queue = append([]news(nil), l.queue[over:]...)
		l.metrics.undecided.WithLabelValues("key limits untold").Add(float64(over))
	}
	l.mu.Unlock()
	l.rouse()
}

// run returns what is not used, tells what was, and renews slots, until the balancer ends; then it gives back all it holds.
// While nothing is held and nothing limited it sleeps.
func (l *lender) run() {
	renew, look := time.Now().Add(renewEvery), time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-l.ctx.Done():
			l.finish()
			return
		case <-timer.C:
		case <-l.wake:
			if !l.pause(slotHurried) { // what comes now goes together
				continue
			}
		}
		now := time.Now()
		told := l.work(now, false)
		if !now.Before(renew) {
			renew = now.Add(l.renew())
		}
		if !now.Before(look) {
			look = now.Add(l.look())
		}
		next := look
		if len(l.holding()) > 0 || !told {
			next = earlier(next, now.Add(returnEvery))
		}
		timer.Reset(max(time.Until(earlier(next, renew)), time.Millisecond))
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// pause waits, unless the balancer ends.
func (l *lender) pause(d time.Duration) bool {
	select {
	case <-l.ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// work returns what nobody used in time, or all of it, and reports whether everything was told.
func (l *lender) work(now time.Time, all bool) bool {
	for _, s := range l.holding() {
		s.mu.Lock()
		s.endLocked(now, all)
		settled, freed := s.settleLocked(now, all, l.name), s.dismissLocked(now, all)
		if s.active = s.holdsLocked(); !s.active {
			l.mu.Lock()
			delete(l.active, s)
			l.mu.Unlock()
		}
		s.mu.Unlock()
		l.tell(settled...)
		l.put(s, freed)
	}
	return l.flush(context.Background())
}

// holdsLocked reports whether there is anything to return later.
func (s *share) holdsLocked() bool {
	return len(s.loans)+len(s.ended)+len(s.slots.idle)+len(s.slots.busy) > 0 || s.owesLocked()
}

// flush tells what is queued, and reports whether all of it was heard.
func (l *lender) flush(ctx context.Context) bool {
	l.telling.Lock()
	return l.flushLocked(ctx)
}

// flushLocked is flush with the lock held, which it gives up.
func (l *lender) flushLocked(ctx context.Context) bool {
	defer l.telling.Unlock()
	for {
		l.mu.Lock()
		some := l.queue[:min(len(l.queue), toldAtOnce)]
		l.queue = l.queue[len(some):]
		l.mu.Unlock()
		if len(some) == 0 {
			return true
		}
		settlements := make([]state.Settlement, len(some))
		for i := range some {
			settlements[i] = some[i].Settlement
		}
		if err := l.settle(ctx, settlements); err != nil {
			l.mu.Lock()
			l.queue = append(append(make([]news, 0, len(some)+len(l.queue)), some...), l.queue...)
			l.mu.Unlock()
			return false
		}
		for _, one := range some {
			if one.slot != nil {
				one.slot.mu.Lock()
				one.slot.slots.freeing--
				one.slot.slots.free++
				one.slot.mu.Unlock()
			}
		}
	}
}

func (l *lender) settle(ctx context.Context, all []state.Settlement) error {
	ctx, cancel := context.WithTimeout(ctx, tellWithin)
	defer cancel()
	return l.store.Settle(ctx, all)
}

// renew says which slots are held still, and returns when to do so next.
func (l *lender) renew() time.Duration {
	var held []state.Held
	begin, holding := time.Now(), l.holding()
	for _, s := range holding {
		s.mu.Lock()
		for _, one := range s.slots.idle {
			held = append(held, state.Held{Subject: s.subject, Reservation: one.name, Slots: true})
		}
		for name := range s.slots.busy {
			held = append(held, state.Held{Subject: s.subject, Reservation: name, Slots: true})
		}
		s.mu.Unlock()
	}
	if len(held) == 0 {
		return renewEvery
	}
	ctx, cancel := context.WithTimeout(context.Background(), tellWithin)
	defer cancel()
	if l.store.Renew(ctx, held) != nil {
		return renewAgain
	}
	for _, s := range holding {
		s.mu.Lock()
		s.renewedLocked(begin)
		s.mu.Unlock()
	}
	return renewEvery
}

// renewedLocked notes that the slots which were held before were renewed.
func (s *share) renewedLocked(at time.Time) {
	for i := range s.slots.idle {
		s.slots.idle[i].renewed = later(s.slots.idle[i].renewed, at)
	}
	for name, before := range s.slots.busy {
		s.slots.busy[name] = later(before, at)
	}
}

// finish gives everything back, for a few seconds at most.
func (l *lender) finish() {
	l.lending.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), lastWords)
	defer cancel()
	told := l.work(time.Now(), true)
	for !told && ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-time.After(returnEvery):
		}
		told = l.flush(ctx)
	}
}

// look asks how the limits of the next subject stand, and returns when to ask about another: what replicas use that are not
// this one, and that a quota is used up, is known here without having been told.
func (l *lender) look() time.Duration {
	l.mu.Lock()
	if len(l.turns) == 0 {
		l.turns = slices.Collect(maps.Values(l.all))
	}
	n := len(l.all)
	if len(l.turns) == 0 {
		l.mu.Unlock()
		return lookEvery
	}
	s := l.turns[0]
	l.turns = l.turns[1:]
	l.mu.Unlock()
	_ = l.read(context.Background(), s, lookEvery/2) // it is asked again in its turn
	return max(lookEvery/time.Duration(max(n, 1)), lookLeast)
}
