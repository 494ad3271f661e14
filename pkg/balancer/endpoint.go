package balancer

import (
	"sync"
	"sync/atomic"
	"time"

	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
)

// alikeWithin is the span in which the same failure of two accounts is one failure of their endpoint.
const alikeWithin = 5 * time.Second

// endpoint is one upstream origin. It only ever rests softly.
type endpoint struct {
	id     string
	rest   resting
	models restsByModel
	latest atomic.Int64 // unix ns of the latest failure

	mu       sync.Mutex // guards all below
	failed   [3]failure // the latest failures of different accounts
	answers  [3]reached // the latest answers of different accounts
	failures []time.Time
}

type failure struct {
	account string
	outcome proxy.Outcome
	status  int
	at      time.Time
}

type reached struct {
	account string
	at      time.Time
}

// resting reports whether the endpoint rests, wholly or for the model.
func (e *endpoint) resting(model string, now int64) bool {
	if now < e.rest.until.Load() {
		return true
	}
	if !e.models.any() {
		return false
	}
	_, resting := e.models.at(model, now)
	return resting
}

// answered notes that an account was answered. Only an answer that follows a failure within alikeWithin is ever asked for, and
// while there was none it takes no lock.
func (e *endpoint) answered(account string, now time.Time) {
	if now.UnixNano()-e.latest.Load() > int64(alikeWithin) {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	oldest := 0
	for i := range e.answers {
		if e.answers[i].account == account {
			e.answers[i].at = now
			return
		}
		if e.answers[i].at.Before(e.answers[oldest].at) {
			oldest = i
		}
	}
	e.answers[oldest] = reached{account, now}
}

// toBlame reports whether a failure of one account's key is the endpoint's, because another account's key failed alike a
// moment ago. It is not when a third account was answered in between: without that condition two bad keys of three would
// shield each other for ever.
func (e *endpoint) toBlame(account string, v proxy.Verdict, now time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	found := false
	for _, before := range e.failed {
		if before.account != account && before.outcome == v.Outcome && before.status == v.Status &&
			now.Sub(before.at) <= alikeWithin && !e.servedOthersLocked(account, before) {
			found = true
		}
	}
	e.noteLocked(failure{account, v.Outcome, v.Status, now})
	return found
}

// servedOthersLocked reports whether a third account was answered after the earlier failure.
func (e *endpoint) servedOthersLocked(account string, before failure) bool {
	for _, s := range e.answers {
		if s.account != account && s.account != before.account && s.at.After(before.at) {
			return true
		}
	}
	return false
}

// noteLocked remembers a failure in place of the account's last one, or of the oldest.
func (e *endpoint) noteLocked(f failure) {
	oldest := 0
	for i, old := range e.failed {
		if old.account == f.account {
			oldest = i
			break
		}
		if old.at.Before(e.failed[oldest].at) {
			oldest = i
		}
	}
	e.failed[oldest] = f
	e.latest.Store(f.at.UnixNano())
}

// tooMany counts a failure of the endpoint, and reports whether there were too many of them.
func (e *endpoint) tooMany(now time.Time, threshold int) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	recent := e.failures[:0]
	for _, at := range e.failures {
		if now.Sub(at) < state.FailureWindow {
			recent = append(recent, at)
		}
	}
	e.failures = append(recent, now)
	if len(e.failures) < threshold {
		return false
	}
	e.failures = e.failures[:0]
	return true
}

// endpointFailed counts a failure against an endpoint.
func (b *Balancer) endpointFailed(e *endpoint, v proxy.Verdict) {
	if e.tooMany(time.Now(), b.policy().FailureThreshold) {
		v.Outcome = proxy.Unreachable // rests as one, whatever its kind
		b.put(state.Subject{Scope: proxy.ByEndpoint, ID: e.id}, proxy.Busy, v)
	}
}
