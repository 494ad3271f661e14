package balancer

import (
	"sync"
	"sync/atomic"
	"time"

	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
)

const (
	// claimLife bounds a probe that is never reported.
	claimLife = 30 * time.Second
	// deniedRest is how long a model that an account has no access to is not asked for there.
	deniedRest = 10 * time.Minute
	// firstPause of what was told to wait but not how long; doubles.
	firstPause = time.Second
	// busyMost bounds the rests of endpoints and of overloaded models.
	busyMost = 30 * time.Second
	// modelsKept bounds the models that rest for one account or endpoint: their names come from callers.
	modelsKept = 256
)

// resting is whether a subject rests, and whether it is on probation afterwards: then one request at a time may use it.
type resting struct {
	until atomic.Int64 // unix ns; 0: neither resting nor on probation
	claim atomic.Int64 // unix ns until which somebody probes

	mu   sync.Mutex // guards rest
	rest state.Rest
}

// ready reports whether the subject may be used now: it does not rest, or waits for a probe.
func (r *resting) ready(now int64) bool {
	until := r.until.Load()
	return until == 0 || now >= until && now >= r.claim.Load()
}

// probation reports whether whoever uses the subject now is its probe.
func (r *resting) probation(now int64) bool {
	until := r.until.Load()
	return until != 0 && now >= until
}

// set puts the subject to rest until a time; of two rests the later end is kept. It reports whether this one was.
func (r *resting) set(rest state.Rest) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.rest.Until.Before(rest.Until) && r.until.Load() != 0 {
		return false
	}
	r.rest = rest
	r.claim.Store(0)
	r.until.Store(rest.Until.UnixNano())
	return true
}

// next is how many rests came before one that begins now. Reports that come while it rests belong to the same incident.
func (r *resting) next(now time.Time) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.rest.Until.IsZero() || now.Sub(r.rest.Until) > state.RestMemory:
		return 0
	case now.Before(r.rest.Until):
		return r.rest.Repeat
	default:
		return r.rest.Repeat + 1
	}
}

// clear ends rest and probation; it reports whether there was one.
func (r *resting) clear() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	was := r.until.Swap(0) != 0
	r.rest = state.Rest{}
	r.claim.Store(0)
	return was
}

// replace puts another rest, or none, in the place of one, however early it ends; it reports whether that one was still
// there.
func (r *resting) replace(old, rest state.Rest) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.rest != old {
		return false
	}
	r.rest = rest
	r.claim.Store(0)
	r.until.Store(0)
	if !rest.Until.IsZero() {
		r.until.Store(rest.Until.UnixNano())
	}
	return true
}

// current is the rest as it stands.
func (r *resting) current() state.Rest {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.rest
}

// restsByModel is the rests of one account or endpoint for single models. They end without probation.
type restsByModel struct {
	count  atomic.Int64 // of entries, read without the lock
	latest atomic.Int64 // unix ns after which none of them rests, likewise

	mu     sync.RWMutex // guards models
	models map[string]state.Rest
}

func (m *restsByModel) any() bool { return m.count.Load() > 0 }

// resting reports whether a model rests at a time (unix ns). While none does it takes no lock.
func (m *restsByModel) resting(model string, now int64) bool {
	if now >= m.latest.Load() {
		return false
	}
	_, resting := m.at(model, now)
	return resting
}

// at is why a model rests now, if it does.
func (m *restsByModel) at(model string, now int64) (proxy.Reason, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	r, found := m.models[model]
	return r.Reason, found && now < r.Until.UnixNano()
}

func (m *restsByModel) next(model string, now time.Time) int {
	m.mu.RLock()
	defer m.mu.RUnlock()
	r, found := m.models[model]
	switch {
	case !found || now.Sub(r.Until) > state.RestMemory:
		return 0
	case now.Before(r.Until):
		return r.Repeat
	default:
		return r.Repeat + 1
	}
}

func (m *restsByModel) set(rest state.Rest) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if old, found := m.models[rest.Model]; found && !old.Until.Before(rest.Until) {
		return false
	}
	if m.models == nil {
		m.models = map[string]state.Rest{}
	}
	if _, found := m.models[rest.Model]; !found && len(m.models) >= modelsKept {
		m.dropSoonestLocked()
	}
	m.models[rest.Model] = rest
	m.count.Store(int64(len(m.models)))
	m.latest.Store(max(m.latest.Load(), rest.Until.UnixNano()))
	return true
}

// dropSoonestLocked makes room: made-up models, which are denied, go before those that really cool.
func (m *restsByModel) dropSoonestLocked() {
	drop, found := "", false
	for model, r := range m.models {
		held := m.models[drop]
		denied, heldDenied := r.Reason == proxy.Denied, held.Reason == proxy.Denied
		if !found || denied && !heldDenied || denied == heldDenied && r.Until.Before(held.Until) {
			drop, found = model, true
		}
	}
	delete(m.models, drop)
}

// clear forgets a model, after it was served.
func (m *restsByModel) clear(model string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, found := m.models[model]
	delete(m.models, model)
	m.count.Store(int64(len(m.models)))
	return found
}

// clearBefore forgets a rest that began before a time (unix ns), and returns it.
func (m *restsByModel) clearBefore(model string, began int64) (rest state.Rest, ended bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	rest, found := m.models[model]
	if !found || rest.Since.UnixNano() >= began {
		return rest, false
	}
	delete(m.models, model)
	m.count.Store(int64(len(m.models)))
	return rest, true
}

// soonest is when the first of the models ends to rest for the reason; zero when none does.
func (m *restsByModel) until(model string, reason proxy.Reason) time.Time {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if r := m.models[model]; r.Reason == reason {
		return r.Until
	}
	return time.Time{}
}

// doubled is a first rest, doubled with each repetition, at most so long.
func doubled(first time.Duration, repeat int, most time.Duration) time.Duration {
	d := first
	for range repeat {
		if d *= 2; d >= most {
			break
		}
	}
	return min(d, most)
}

// length is how long somebody rests after an outcome.
func (b *Balancer) length(v proxy.Verdict, repeat int) time.Duration {
	most := b.policy().MaxRest
	switch v.Outcome {
	case proxy.Throttled:
		if v.Wait > 0 {
			return min(v.Wait, most)
		}
		return doubled(firstPause, repeat, most)
	case proxy.ModelDenied:
		return deniedRest
	case proxy.Overloaded:
		if v.Wait > 0 {
			return min(v.Wait, busyMost)
		}
		return doubled(firstPause, repeat, busyMost)
	case proxy.Unreachable:
		return doubled(firstPause, repeat, busyMost)
	default:
		return max(doubled(b.policy().OpenTimeout, repeat, most), min(v.Wait, most))
	}
}

// put begins a rest here and tells the others.
func (b *Balancer) put(s state.Subject, reason proxy.Reason, v proxy.Verdict) {
	now := time.Now()
	rest := state.Rest{Subject: s, Reason: reason, Since: now, Repeat: b.repeat(s, now)}
	rest.Until = now.Add(b.length(v, rest.Repeat))
	if b.apply(rest) {
		b.announce(rest)
		b.outbox.rest(rest)
	}
}

func (b *Balancer) announce(r state.Rest) {
	b.metrics.rests.WithLabelValues(string(r.Reason)).Inc()
	log := b.Log.Info
	if r.Reason == proxy.Invalid || r.Reason == proxy.Exhausted || r.Reason == proxy.Open {
		log = b.Log.Warn
	}
	log("rest", "scope", r.Scope, "subject", r.ID, "model", clipped(r.Model), "reason", r.Reason, "until", r.Until)
}

// clipped bounds a name that callers chose.
func clipped(s string) string { return s[:min(len(s), 100)] }

// repeat is how many rests of a subject came before one that begins now.
func (b *Balancer) repeat(s state.Subject, now time.Time) int {
	if r, m := b.find(s); r != nil {
		return r.next(now)
	} else if m != nil {
		return m.next(s.Model, now)
	}
	return 0
}

// apply begins a rest that was decided here or by another replica, and reports whether anything changed.
func (b *Balancer) apply(rest state.Rest) bool {
	r, m := b.find(rest.Subject)
	switch {
	case m != nil:
		return m.set(rest)
	case r == nil || !r.set(rest):
		return false
	}
	if rest.Scope == proxy.ByKey && rest.Reason == proxy.Open {
		if k := b.known.key(rest.ID); k != nil {
			k.breaker.trip()
		}
	}
	return true
}

// find is where the rests of a subject are kept: both nil when it is not configured here.
func (b *Balancer) find(s state.Subject) (*resting, *restsByModel) {
	switch s.Scope {
	case proxy.ByKey:
		if k := b.known.key(s.ID); k != nil {
			return &k.rest, nil
		}
	case proxy.ByAccount, proxy.ByModel, proxy.ByPace:
		a := b.known.account(s.ID)
		switch {
		case a == nil:
		case s.Scope == proxy.ByAccount:
			return &a.rest, nil
		case s.Scope == proxy.ByModel:
			return nil, &a.models
		default:
			return nil, &a.pace.slowed
		}
	case proxy.ByEndpoint, proxy.ByEndpointMdl:
		if e := b.known.endpoint(s.ID); e != nil && s.Scope == proxy.ByEndpoint {
			return &e.rest, nil
		} else if e != nil {
			return nil, &e.models
		}
	}
	return nil, nil
}

// longest is the rest for a reason that ends last.
func (m *restsByModel) longest(reason proxy.Reason, now time.Time) (found state.Rest, any bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, r := range m.models {
		if r.Reason == reason && r.Until.After(now) && r.Until.After(found.Until) {
			found, any = r, true
		}
	}
	return found, any
}
