package balancer

import (
	"sync"
	"time"

	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
)

// An account that says with every answer what is left of its rate limits is left alone before it has to refuse: as soon as
// what is left would not cover what goes through until the next answer is heard, other accounts go first, just until it
// would again. What goes through is learned from how what is left shrinks, which is also the other replicas' doing. It is
// a preference and no more: when nobody better is left, the pick goes on as if nobody were slowed. These rests have a scope
// of their own, so that they and what a 429 began do not end or lengthen one another.

const (
	// shortestSlowed is the least that one is worth: a timer of a busy machine is not finer.
	shortestSlowed = 20 * time.Millisecond
	// slowedTold is the least that the others are told of; what is shorter is over when they have heard of it.
	slowedTold = 50 * time.Millisecond
	// stepMost is the time for which a step counts. A replica that is answered once a minute sees what the others put through
	// in that minute, and must not slow them all for it.
	stepMost = time.Second
	// stepRise and stepFall are the weight of one observation: what is needed is found soon, and forgotten slowly.
	stepRise, stepFall = 1. / 2, 1. / 8
)

// paces is how an account stands to its rate limits, by model.
type paces struct {
	slowed restsByModel

	mu     sync.Mutex // guards models and what is in them
	models map[string]*pace
}

// pace is what was learned of one model.
type pace struct {
	began            int64 // unix ns; of the request whose answer was heard of last
	requests, tokens flow
}

// flow is one limit, seen from outside.
type flow struct {
	heard bool
	left  int64
	step  float64 // what goes through from one answer to the next
}

// heed learns from an answer to a request that began at a time (unix ns), and returns how long it takes until what is left
// covers the next step. fresh is false for one that began before that of the latest answer: it says nothing new.
func (p *paces) heed(model string, began int64, a *proxy.Allowance) (wait time.Duration, fresh bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := p.models[model]
	if m == nil {
		if p.models == nil || len(p.models) >= modelsKept {
			p.models = map[string]*pace{} // a few answers teach it again
		}
		m = new(pace)
		p.models[model] = m
	}
	if began < m.began {
		return 0, false
	}
	m.learn(began, a)
	return max(m.requests.wait(&a.Requests), m.tokens.wait(&a.Tokens)), true
}

// learn takes what went through since the answer before: of a long time only what falls into stepMost, one request at least.
func (m *pace) learn(began int64, a *proxy.Allowance) {
	gap := float64(began - m.began)
	m.began = began
	requests, tokens := m.requests.used(&a.Requests, gap), m.tokens.used(&a.Tokens, gap)
	part := min(float64(stepMost)/gap, 1)
	if a.Requests.Known {
		part = max(part, 1/max(requests, 1))
	}
	m.requests.learn(&a.Requests, requests*part)
	m.tokens.learn(&a.Tokens, tokens*part)
}

// used is what went through in a time (ns): by how much less is left, and what came back meanwhile.
func (f *flow) used(l *proxy.Level, gap float64) float64 {
	if !l.Known || !f.heard {
		return 0
	}
	used := float64(f.left - l.Left)
	if unit := unit(l); unit > 0 {
		used += min(gap/unit, max(float64(l.Limit-f.left), 0))
	}
	return max(used, 0)
}

// unit is how long one unit takes to come back, in ns; 0 when all are there.
func unit(l *proxy.Level) float64 {
	if l.Left >= l.Limit {
		return 0
	}
	return float64(l.Reset) / float64(l.Limit-l.Left)
}

func (f *flow) learn(l *proxy.Level, used float64) {
	if !l.Known {
		return
	}
	if f.heard {
		weight := stepFall
		if used > f.step {
			weight = stepRise
		}
		f.step += (used - f.step) * weight
	}
	f.heard, f.left = true, l.Left
}

// wait is how long it takes until what is left covers a step; 0: it does.
func (f *flow) wait(l *proxy.Level) time.Duration {
	missing := min(max(f.step, 1), float64(l.Limit)) - float64(l.Left)
	if !l.Known || missing <= 0 {
		return 0
	}
	return max(time.Duration(missing*unit(l)), 1)
}

func (a *account) pacedAt(model string) state.Subject {
	return state.Subject{Scope: proxy.ByPace, ID: a.id, Model: model}
}

// heed slows the account for the model, or ends that, by what an answer says is left.
func (p *Pick) heed(a *proxy.Allowance) {
	if !a.Known() {
		return
	}
	account := p.k.account
	switch wait, fresh := account.pace.heed(p.model, p.began, a); {
	case wait > 0:
		p.b.slow(account, p.model, wait)
	case fresh:
		p.b.hasten(account, p.model, p.began)
	}
}

// slow lets others go first for a while. What is only a little longer than what is in force already is not worth telling.
func (b *Balancer) slow(a *account, model string, wait time.Duration) {
	now := time.Now()
	wait = min(max(wait, shortestSlowed), b.policy().MaxRest)
	rest := state.Rest{Subject: a.pacedAt(model), Reason: proxy.Slowed, Since: now, Until: now.Add(wait)}
	before := a.pace.slowed.end(model)
	if rest.Until.Sub(before) <= wait/4 || !a.pace.slowed.set(rest) {
		return
	}
	if !before.After(now) {
		b.metrics.rests.WithLabelValues(string(proxy.Slowed)).Inc()
	}
	b.Log.Debug("slowed", "account", a.id, "model", clipped(model), "until", rest.Until)
	if wait >= slowedTold && b.outbox.spare(now) {
		b.outbox.rest(rest)
	}
}

// hasten ends that early, when a request that began later (unix ns) found enough left.
func (b *Balancer) hasten(a *account, model string, began int64) {
	if !a.pace.slowed.resting(model, began) {
		return
	}
	rest, ended := a.pace.slowed.clearBefore(model, began)
	if ended && time.Until(rest.Until) >= slowedTold {
		b.outbox.wake(rest.Subject)
	}
}
