package balancer

import (
	"context"
	"slices"
	"sync"
	"time"

	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
)

// Pick is one attempt with a key.
type Pick struct {
	Key  *proxy.Key
	Sole bool // of a pool of one, which never rests
	Soft bool // used for want of a better one

	b     *Balancer
	k     *key
	model string
	began int64       // unix ns
	done  func(error) // settles the breaker; nil in a pool of one
	probe []probe     // subjects on probation, of which this attempt is the probe
	drawn [2]*draw    // of the limits of the key and of its account
	used  Need        // in truth
	told  bool        // that is known

	settled sync.Once
	closed  sync.Once
}

// probe is a claim on a subject.
type probe struct {
	r     *resting
	of    state.Subject
	until int64 // of the claim here, unix ns
}

// claim makes the attempt the probe of what is on probation: one in the whole fleet.
func (p *Pick) claim(ctx context.Context, now int64) bool {
	until := now + int64(claimLife)
	for _, s := range [2]probe{{&p.k.rest, p.k.subject(), until}, {&p.k.account.rest, p.k.account.subject(), until}} {
		if !s.r.probation(now) {
			continue
		}
		held := s.r.claim.Load()
		if held > now || !s.r.claim.CompareAndSwap(held, until) {
			p.release()
			return false
		}
		won, err := p.b.Store.Claim(ctx, s.of, claimLife)
		if err != nil {
			p.b.metrics.undecided.WithLabelValues("probe").Inc() // every replica probes for itself
		} else if !won {
			p.release()
			return false
		}
		p.probe = append(p.probe, s)
	}
	if p.probes(&p.k.rest) {
		p.k.breaker.letProbe()
	}
	return true
}

// probes reports whether the attempt is the probe of what rested.
func (p *Pick) probes(r *resting) bool {
	return slices.ContainsFunc(p.probe, func(held probe) bool { return held.r == r })
}

// release gives the claims back, when the attempt proved nothing or all that it proved has been told. The claim here ends
// only after that of the fleet: the next probe of this replica would otherwise lose against its own.
func (p *Pick) release() {
	for _, held := range p.probe {
		if rests := time.Until(held.r.current().Until); rests > 0 {
			p.b.releaseLater(held, min(rests/2, heardBy)) // before its end: who loses a claim waits for long
			continue
		}
		p.b.release(held)
	}
	p.probe = nil
}

// heardBy is when every replica has heard of a rest, also one whose hint was lost.
const heardBy = time.Second

// releaseLater gives a claim back that proved its subject to be unwell, once the others know of the rest that followed: one
// that does not would take the free claim for its turn. The rest ends no sooner, so nobody waits for this.
func (b *Balancer) releaseLater(held probe, after time.Duration) {
	if b.ctx.Err() != nil {
		b.release(held)
		return
	}
	b.tasks.Go(func() {
		select {
		case <-time.After(after):
		case <-b.ctx.Done():
		}
		b.release(held)
	})
}

func (b *Balancer) release(held probe) {
	b.outbox.release(held.of, func() { held.r.claim.CompareAndSwap(held.until, 0) })
}

func (k *key) subject() state.Subject     { return state.Subject{Scope: proxy.ByKey, ID: k.ID} }
func (a *account) subject() state.Subject { return state.Subject{Scope: proxy.ByAccount, ID: a.id} }

// Report tells how the attempt went, once: at the headers of the answer, or when there will be none.
func (p *Pick) Report(v proxy.Verdict) {
	p.settled.Do(func() {
		if row := v.Outcome.Row(); row.Fate == proxy.NotExecuted || v.Outcome == proxy.CallerFault {
			p.Used(Need{})
		}
		if !p.Sole {
			p.blame(v)
			p.release()
		}
	})
}

// Withdraw settles the attempt without blaming anybody: the request itself is at fault.
func (p *Pick) Withdraw() {
	p.settled.Do(func() {
		if !p.Sole {
			p.done(errNobody)
			p.release()
		}
	})
}

// Cut tells that an answer which was reported as served broke off: one more failure of the key.
func (p *Pick) Cut(v proxy.Verdict) {
	if p.Sole {
		return
	}
	if done, err := p.k.breaker.allow(); err == nil {
		done(errFailed)
		p.failed(v)
	}
}

// Close ends the attempt. One that was not reported blames nobody.
func (p *Pick) Close() {
	p.Withdraw()
	p.closed.Do(func() {
		p.k.inFlight.add(-1)
		p.settle()
	})
}

// blame does what the row of the outcome says.
func (p *Pick) blame(v proxy.Verdict) {
	b, k, row := p.b, p.k, v.Outcome.Row()
	switch {
	case row.Failure && row.Rests == proxy.ByKey && k.endpoint.toBlame(k.account.id, v, time.Now()):
		p.done(errNobody)
		b.endpointFailed(k.endpoint, v)
	case row.Failure && row.Rests == proxy.ByKey:
		p.done(errFailed)
		p.failed(v)
	case row.Failure:
		p.done(errNobody)
		b.endpointFailed(k.endpoint, v)
	default:
		p.answered(v)
	}
}

// failed follows a failure that counted in the breaker.
func (p *Pick) failed(v proxy.Verdict) {
	b, k := p.b, p.k
	if k.breaker.justTripped() || p.probes(&k.rest) {
		b.put(k.subject(), proxy.Open, v)
		return
	}
	b.outbox.fail(k.ID, k.breaker.since(), func(sums state.Attempts) {
		if b.policy().trips(sums.Attempts, sums.Failures) {
			k.breaker.trip()
			b.put(k.subject(), proxy.Open, v)
		}
	})
}

// answered follows an attempt that proves that key and endpoint work, whatever was answered.
func (p *Pick) answered(v proxy.Verdict) {
	b, k := p.b, p.k
	if v.Outcome == proxy.CallerGone {
		p.done(errNobody)
		return
	}
	p.done(nil)
	now := time.Now()
	k.used.Store(now.UnixNano())
	k.endpoint.answered(k.account.id, now)
	p.recover(v)
	switch row := v.Outcome.Row(); row.Rests {
	case proxy.ByKey: // 401
		b.rejected(k, v)
	case proxy.ByAccount:
		b.put(k.account.subject(), row.Reason, v)
	case proxy.ByModel:
		b.put(state.Subject{Scope: proxy.ByModel, ID: k.account.id, Model: p.model}, row.Reason, v)
	case proxy.ByEndpointMdl:
		b.put(state.Subject{Scope: proxy.ByEndpointMdl, ID: k.Endpoint, Model: p.model}, row.Reason, v)
	default:
		b.served(k, p.model)
		p.heed(&v.Allowance)
	}
}

// recover wakes what this attempt proved to be well: everything on probation, but for what the answer is about itself.
func (p *Pick) recover(v proxy.Verdict) {
	for _, held := range p.probe {
		rest := held.r.current()
		same := rest.Reason == v.Outcome.Row().Reason && rest.Scope == v.Outcome.Row().Rests
		if !same && held.r.clear() {
			p.b.Log.Info("back", "scope", rest.Scope, "subject", rest.ID, "reason", rest.Reason)
			p.b.outbox.wake(held.of)
		}
	}
}

// served forgets what rested for the model before.
func (b *Balancer) served(k *key, model string) {
	if k.account.models.any() && k.account.models.clear(model) {
		b.outbox.wake(state.Subject{Scope: proxy.ByModel, ID: k.account.id, Model: model})
	}
	if k.endpoint.models.any() && k.endpoint.models.clear(model) {
		b.outbox.wake(state.Subject{Scope: proxy.ByEndpointMdl, ID: k.Endpoint, Model: model})
	}
	if k.endpoint.rest.until.Load() != 0 && k.endpoint.rest.clear() {
		b.outbox.wake(state.Subject{Scope: proxy.ByEndpoint, ID: k.Endpoint})
	}
}

// asideWhile is how long a key that was rejected is put aside while the upstream is asked again.
const asideWhile = 10 * time.Second

// rejected puts a key aside that the upstream did not accept, and for longer once the upstream confirmed it. The last
// usable key stays: if all of them are refused, the fault may be ours.
func (b *Balancer) rejected(k *key, v proxy.Verdict) {
	if b.lastUsable(k) {
		return
	}
	if b.Confirm == nil {
		b.put(k.subject(), proxy.Invalid, v)
		return
	}
	now := time.Now()
	repeat := k.rest.next(now)
	aside := state.Rest{Subject: k.subject(), Reason: proxy.Invalid, Since: now, Until: now.Add(asideWhile), Repeat: repeat}
	if !k.rest.set(aside) || b.ctx.Err() != nil {
		return // somebody asks already
	}
	b.tasks.Go(func() {
		ctx, cancel := context.WithTimeout(b.ctx, asideWhile)
		defer cancel()
		if b.Confirm(ctx, k.Key).Outcome == proxy.KeyRejected && !b.lastUsable(k) {
			rest := aside
			rest.Until = time.Now().Add(b.length(v, repeat))
			if k.rest.replace(aside, rest) {
				b.announce(rest)
				b.outbox.rest(rest)
			}
			return
		}
		k.rest.replace(aside, state.Rest{})
	})
}

// lastUsable reports whether no other enabled key could be used now.
func (b *Balancer) lastUsable(k *key) bool {
	now := time.Now()
	for _, other := range b.view.Load().keys {
		if other.vitals != k.vitals && other.Enabled && (other.Expires.IsZero() || now.Before(other.Expires)) &&
			other.grade("", now.UnixNano()) != unusable {
			return false
		}
	}
	return true
}
