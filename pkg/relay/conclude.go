package relay

import (
	"errors"
	"time"

	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/upstream"
)

// patience is how long the official SDKs would wait; beyond it they ignore Retry-After and come back at once.
const patience = time.Minute

// conclude turns the last try into what the caller gets.
func (r *run) conclude(t *try) (*try, error) {
	r.blame()
	if passable(t) {
		return t, nil
	}
	return r.fallback(nil)
}

// giveUp is for when no further key could be picked.
func (r *run) giveUp(err error) (*try, error) {
	r.blame()
	return r.fallback(err)
}

// passable reports whether the caller may see this answer. One about our key, a 401 or a bill, is not for him; nor is
// what is no answer to an API call.
func passable(t *try) bool {
	if !t.answer.Answered() {
		return false
	}
	switch v := t.verdict(); v.Outcome {
	case proxy.KeyRejected, proxy.OutOfCredit:
		return false
	default:
		return v.Status >= 400 || v.Outcome == proxy.Served
	}
}

// fallback is the last real answer of the upstream, or the fault that says why there is none. pickErr is why no key could
// be picked; nil when one could have been.
func (r *run) fallback(pickErr error) (*try, error) {
	for i := len(r.tries) - 1; i >= 0; i-- {
		if passable(r.tries[i]) {
			return r.tries[i], nil
		}
	}
	if len(r.tries) == 0 {
		return nil, asFault(pickErr)
	}
	return nil, r.unanswered(pickErr)
}

// unanswered is the fault for tries of which none brought an answer that the caller may see.
func (r *run) unanswered(pickErr error) *proxy.Fault {
	last := r.tries[len(r.tries)-1].verdict()
	f := &proxy.Fault{Err: last.Err, Spent: len(r.tries) > 1}
	switch {
	case last.Outcome == proxy.CallerGone:
		f.Kind, f.Public = proxy.CallerLeft, "the caller went away"
	case last.Outcome == proxy.KeyRejected || last.Outcome == proxy.OutOfCredit:
		f.Kind, f.Public = proxy.NoAvailableKey, "the upstream accepts none of the keys that are left"
		var picked *proxy.Fault
		if errors.As(pickErr, &picked) {
			f.RetryAfter = picked.RetryAfter
		}
		f.RetryAfter = max(f.RetryAfter, time.Second)
	case upstream.TimedOut(last.Err):
		f.Kind, f.Public = proxy.UpstreamTimeout, "the upstream did not answer in time"
	default:
		f.Kind, f.Public = proxy.UpstreamError, "the upstream could not be reached or gave no answer"
	}
	return f
}

func asFault(err error) *proxy.Fault {
	var f *proxy.Fault
	if errors.As(err, &f) {
		return f
	}
	return &proxy.Fault{Kind: proxy.CallerLeft, Public: "the caller went away", Err: err}
}
