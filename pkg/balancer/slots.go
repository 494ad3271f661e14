package balancer

import (
	"context"
	"time"

	"openai-api-proxy/pkg/state"
)

const (
	// slotKept is how long a slot that nobody uses is kept for the next request, and slotHurried that when there are few:
	// somebody elsewhere may want it.
	slotKept    = time.Second
	slotHurried = 20 * time.Millisecond
	// slotFresh is how long after its renewal a slot that nobody uses may be given: the state must not think it free by then.
	slotFresh = state.SlotLife - 5*time.Second
	// slotAsks is how many requests ask for a slot at the same time: those who wait may find one that was freed meanwhile.
	slotAsks = 8
	// slotAwaited is how long a request waits for a slot that was freed here and of which the state has not heard yet.
	slotAwaited = 25 * time.Millisecond
)

// slots are those that this replica holds of a share. Each is a reservation of its own, so that any of them can be given back;
// those of a replica that dies are free within state.SlotLife.
type slots struct {
	idle    []slot               // the one used last at the end
	busy    map[string]time.Time // by name: when it was renewed last
	unnamed int                  // requests that were let through without the state
	free    int64                // in the state, as it was heard last
	heard   bool
	freeing int // of which it has not heard yet
}

type slot struct {
	name          string
	renewed, kept time.Time // kept: until when
}

// slotLocked takes a slot that is at hand.
func (s *share) slotLocked(d *draw, now time.Time) bool {
	for n := len(s.slots.idle); n > 0; n = len(s.slots.idle) {
		last := s.slots.idle[n-1]
		if now.Sub(last.renewed) >= slotFresh {
			break // so are those before
		}
		s.slots.idle = s.slots.idle[:n-1]
		s.holdLocked(d, last.name, last.renewed)
		return true
	}
	return false
}

func (s *share) holdLocked(d *draw, name string, renewed time.Time) {
	d.held, d.slot = true, name
	if name == "" {
		s.slots.unnamed++
		return
	}
	if s.slots.busy == nil {
		s.slots.busy = map[string]time.Time{}
	}
	s.slots.busy[name] = renewed
}

// leaveLocked takes the slot of a draw back, to be kept for the next or freed.
func (s *share) leaveLocked(d *draw, now time.Time, others int64) {
	if !d.held {
		return
	}
	d.held = false
	if d.slot == "" {
		s.slots.unnamed--
		return
	}
	renewed, known := s.slots.busy[d.slot]
	if !known {
		return
	}
	delete(s.slots.busy, d.slot)
	kept := now.Add(slotHurried)
	if s.terms == nil || s.terms.limits.Concurrency == 0 || now.Sub(renewed) >= slotFresh {
		kept = now
	} else if s.slots.free >= spareBlocks*others {
		kept = now.Add(slotKept)
	}
	s.slots.idle = append(s.slots.idle, slot{d.slot, renewed, kept})
	s.refused.Store(0)
}

// dismissLocked frees the slots that nobody used for long enough, or all that nobody uses.
func (s *share) dismissLocked(now time.Time, all bool) (freed []state.Settlement) {
	kept := s.slots.idle[:0]
	for _, one := range s.slots.idle {
		if !all && now.Before(one.kept) && now.Sub(one.renewed) < slotFresh {
			kept = append(kept, one)
			continue
		}
		freed = append(freed, state.Settlement{Subject: s.subject, Reservation: one.name})
	}
	s.slots.idle = kept
	s.slots.freeing += len(freed)
	return freed
}

// slot takes a slot for a draw: one that is at hand, or one of the state.
func (l *lender) slot(d *draw) bool {
	s := d.share
	if taken, doubted := s.trySlot(d); taken || doubted {
		return taken
	}
	s.gate <- struct{}{}
	defer func() { <-s.gate }()
	for try := 0; ; try++ {
		if taken, doubted := s.trySlot(d); taken || doubted && try == 0 {
			return taken
		}
		switch ok, asked := l.askSlot(d); {
		case ok || !asked:
			return ok
		case try > 0 || !l.awaitSlot(s):
			return false
		}
	}
}

// trySlot takes a slot that is at hand, or says that none is to be had as far as is known.
func (s *share) trySlot(d *draw) (taken, doubted bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	return s.slotLocked(d, now), s.no.limit == atOnce && now.Before(s.no.until)
}

// askSlot asks the state for one slot. asked is false when the state did not answer.
func (l *lender) askSlot(d *draw) (ok, asked bool) {
	s, name, begin := d.share, l.name(), time.Now()
	l.metrics.asks.WithLabelValues(byRequest).Inc()
	v, err := l.store.Spend(context.Background(), s.subject, name, []state.Charge{d.terms.slot(1)})
	if err != nil {
		l.withdraw(s.subject, name, nil, err)
		return l.slotAlone(d), false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.slots.free, s.slots.heard = v.Balances[0].Left, true
	if !v.OK {
		if s.terms == d.terms {
			s.refuseLocked(atOnce, nil, v.RetryAfter, time.Now())
		}
		return false, true
	}
	s.no = refusal{}
	s.holdLocked(d, name, begin)
	l.activeLocked(s)
	return true, true
}

// awaitSlot waits for slots that were freed here and of which the state has not heard, and reports whether there were some. A
// caller who sends one request after the other would be refused otherwise.
func (l *lender) awaitSlot(s *share) bool {
	freeing := func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.slots.freeing > 0 && len(s.slots.idle) == 0
	}
	if !freeing() {
		return false
	}
	for begin := time.Now(); freeing() && time.Since(begin) < slotAwaited; {
		time.Sleep(time.Millisecond)
	}
	return true
}
