package balancer

import (
	"sync"
	"time"

	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
)

// sameRest is how far the ends of two reports of one rest may lie apart: times travel as spans between clocks that differ.
const sameRest = time.Second

// same is sameRest for a subject. Accounts are slowed for less than that, again and again.
func same(s state.Subject) time.Duration {
	if s.Scope == proxy.ByPace {
		return shortestSlowed
	}
	return sameRest
}

// synced is what the fleet said last.
type synced struct {
	mu    sync.Mutex // held while a list is worked through, so that they are taken in order; guards rests
	rests map[state.Subject]state.Rest
}

// Sync takes over the rests of the fleet, all of them: those that are new begin here too, and those that were there and
// are no more, because another replica found the subject well, end.
func (b *Balancer) Sync(rests []state.Rest) {
	b.synced.mu.Lock()
	defer b.synced.mu.Unlock()
	now := make(map[state.Subject]state.Rest, len(rests))
	for _, r := range rests {
		now[r.Subject] = r
		if r.Until.Sub(b.until(r.Subject)) > same(r.Subject) {
			b.apply(r)
		}
	}
	for subject, before := range b.synced.rests {
		if _, there := now[subject]; !there {
			b.wake(subject, before.Until)
		}
	}
	b.synced.rests = now
}

// applyTo puts the rests that the fleet told of in force for subjects that were not configured here then.
func (s *synced) applyTo(b *Balancer, fresh map[state.Subject]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for subject, r := range s.rests {
		if fresh[whole(subject)] {
			b.apply(r)
		}
	}
}

// Retell tells the state, which has forgotten, every rest that is in force here, and takes nothing that is missing there
// for a sign that somebody was found well.
func (b *Balancer) Retell() {
	b.synced.mu.Lock()
	b.synced.rests = nil
	b.synced.mu.Unlock()
	now := time.Now()
	keys, accounts, endpoints := b.known.all()
	for _, k := range keys {
		b.retell(&k.rest)
	}
	for _, a := range accounts {
		b.retell(&a.rest)
		a.models.each(b.outbox.rest)
		a.pace.slowed.each(func(r state.Rest) {
			if r.Until.Sub(now) >= slowedTold {
				b.outbox.rest(r)
			}
		})
	}
	for _, e := range endpoints {
		b.retell(&e.rest)
		e.models.each(b.outbox.rest)
	}
}

func (b *Balancer) retell(r *resting) {
	if rest := r.current(); !rest.Until.IsZero() {
		b.outbox.rest(rest)
	}
}

// each calls f with every rest.
func (m *restsByModel) each(f func(state.Rest)) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, r := range m.models {
		f(r)
	}
}

// until is when a subject's rest ends, as far as is known here.
func (b *Balancer) until(s state.Subject) time.Time {
	switch r, m := b.find(s); {
	case r != nil:
		return r.current().Until
	case m != nil:
		return m.end(s.Model)
	default:
		return time.Time{}
	}
}

// wake ends a rest that the fleet has ended, unless another one was decided here meanwhile.
func (b *Balancer) wake(s state.Subject, until time.Time) {
	if b.until(s).Sub(until) > same(s) {
		return
	}
	r, m := b.find(s)
	switch {
	case m != nil:
		m.clear(s.Model)
	case r != nil && r.clear() && s.Scope == proxy.ByKey:
		if k := b.known.key(s.ID); k != nil {
			k.breaker.reset()
		}
	}
}

// end is when a model's rest ends; zero when there is none.
func (m *restsByModel) end(model string) time.Time {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.models[model].Until
}
