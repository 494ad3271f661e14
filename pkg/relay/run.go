package relay

import (
	"context"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"openai-api-proxy/pkg/admission"
	"openai-api-proxy/pkg/balancer"
	"openai-api-proxy/pkg/openai"
	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/upstream"
)

// mostTries bounds the keys that one request may use up, whatever they answer.
const mostTries = 10

// try is one attempt with one key.
type try struct {
	pick     *balancer.Pick
	answer   *upstream.Answer
	reported bool
}

func (t *try) verdict() *proxy.Verdict { return &t.answer.Verdict }

// run is the retry loop of one request.
type run struct {
	relay     *Relay
	call      *proxy.Call
	rec       *proxy.Record
	claim     claim
	account   string // in which the objects lie that the call points at; empty: any will do
	soft      bool   // another account will do, too
	deadline  time.Time
	tries     []*try
	first     try     // the first of them: nearly all have no more
	room      [1]*try // for them
	ambiguous int     // tries whose fate was ambiguous
	paused    bool    // the one pause for an overloaded provider was taken
	unheard   bool    // no second key could be asked, for want of budget
	why       Why     // only for calls that are to be explained
	need      balancer.Need
	hide      bool // the caller did not ask for the usage that the upstream was asked for
	how       upstream.Forwarding
	session   *session        // nil: the answer is none
	later     *later          // nil: nothing is counted later
	owed      admission.Spent // for the call
}

func newRun(r *Relay, call *proxy.Call, rec *proxy.Record, account string) *run {
	run := r.run(call, rec)
	run.begin(account)
	return run
}

// run is one that has not begun. It lies in the heap, since on the stack it would be a part of what a stream holds there.
//
//go:noinline
func (r *Relay) run(call *proxy.Call, rec *proxy.Record) *run {
	return &run{relay: r, call: call, rec: rec, owed: admission.Spent{Unexecuted: true}}
}

// begin begins the tries.
func (r *run) begin(account string) {
	r.relay.budget.earn()
	r.account, r.deadline = account, r.rec.Start.Add(r.relay.Policy.Deadline)
}

// answer tries keys until one answers for good, and returns the try whose answer goes to the caller.
func (r *run) answer(ctx context.Context) (*try, error) {
	for {
		t, err := r.attempt(ctx)
		if err != nil {
			return r.giveUp(err)
		}
		if !r.again(ctx, t) {
			return r.conclude(t)
		}
	}
}

// attempt picks a key and sends the call with it.
func (r *run) attempt(ctx context.Context) (*try, error) {
	pick, err := r.relay.Keys.Pick(ctx, r.ask())
	if err != nil && r.soft {
		r.account, r.soft = "", false
		pick, err = r.relay.Keys.Pick(ctx, r.ask())
	}
	r.explain(pick)
	if err != nil {
		return nil, err
	}
	if err := r.pause(ctx, pick.Key); err != nil {
		pick.Close()
		return nil, err
	}
	start := time.Now()
	answer := r.relay.Upstream.Do(ctx, pick.Key, r.call, r.relay.HeaderTimeout)
	t := r.newTry()
	t.pick, t.answer = pick, answer
	r.attempted(t, start)
	if !held(t.verdict()) {
		t.report()
	}
	return t, nil
}

// newTry adds a try.
func (r *run) newTry() *try {
	t := &r.first
	if len(r.tries) > 0 {
		t = new(try)
	} else {
		r.tries = r.room[:0]
	}
	r.tries = append(r.tries, t)
	return t
}

// attempted notes how an attempt went.
func (r *run) attempted(t *try, start time.Time) {
	v := t.verdict()
	r.rec.Key = t.pick.Key.ID
	r.rec.Attempts = append(r.rec.Attempts, proxy.Attempt{Key: t.pick.Key.ID, Account: t.pick.Key.Account,
		Outcome: v.Outcome, Status: v.Status, Began: start.Sub(r.rec.Start), Took: time.Since(start)})
	r.explained(&r.rec.Attempts[len(r.rec.Attempts)-1])
	r.relay.metrics.attempt(v.Outcome)
}

// held reports whether blame waits until the next key was heard: if that one fails alike, the request is at fault.
func held(v *proxy.Verdict) bool {
	return v.Outcome == proxy.KeyFailed || v.Outcome == proxy.NoAnswer
}

func (t *try) report() {
	if !t.reported {
		t.reported = true
		t.pick.Report(*t.verdict())
	}
}

func (r *run) ask() balancer.Ask {
	ask := balancer.Ask{Pool: r.call.Client.Pool, Model: r.call.Head.Model, Account: r.account,
		Tried: make([]*proxy.Key, 0, len(r.tries)), Need: r.need}
	for _, t := range r.tries {
		ask.Tried = append(ask.Tried, t.pick.Key)
		ask.Last = t.verdict().Outcome
	}
	return ask
}

// unexecuted reports whether the upstream certainly carried nothing out, in any of the tries.
func (r *run) unexecuted() bool {
	return !slices.ContainsFunc(r.tries, func(t *try) bool { return t.verdict().Outcome.Row().Fate != proxy.NotExecuted })
}

// again decides whether another key may be tried after t, by the row of its outcome.
func (r *run) again(ctx context.Context, t *try) bool {
	row := t.verdict().Outcome.Row()
	if row.Another == proxy.No || ctx.Err() != nil || len(r.tries) >= mostTries || !time.Now().Before(r.deadline) ||
		!r.call.Body.Replayable() {
		return false
	}
	if t.pick.Soft && row.Fate != proxy.NotExecuted && row.Another != proxy.OnceAfterPause {
		return false // it was the upstream's own answer that was wanted, and no better key is left
	}
	if row.Another == proxy.OnceAfterPause {
		if r.paused {
			return false
		}
		r.paused = true
	}
	switch row.Fate {
	case proxy.NotExecuted:
		return true
	case proxy.Answered5xx:
		return r.repeat() < openai.RepeatNever && r.spend()
	case proxy.Unknown:
		return r.repeat() == openai.RepeatUnlessRefused && r.spend()
	default:
		return false
	}
}

// repeat is the rule of the operation; work that goes on in the background is never started twice.
func (r *run) repeat() openai.Repeat {
	if r.call.Head.Background {
		return openai.RepeatNever
	}
	return r.call.Op.Repeat
}

// spend takes one ambiguous retry from the request's allowance and from everybody's budget.
func (r *run) spend() bool {
	if r.ambiguous++; r.ambiguous > r.relay.Policy.MaxRetries || r.alike() {
		return false
	}
	if !r.relay.budget.take() {
		r.relay.metrics.budgetSpent.Inc()
		r.unheard = true
		return false
	}
	return true
}

// alike reports whether the last two ambiguous failures look the same, which is evidence against the request.
func (r *run) alike() bool {
	var last *proxy.Verdict
	for i := len(r.tries) - 1; i >= 0; i-- {
		v := r.tries[i].verdict()
		if !held(v) {
			continue
		}
		if last != nil {
			return last.Outcome == v.Outcome && last.Status == v.Status
		}
		last = v
	}
	return false
}

// blame settles what was held back: two keys that failed alike are not to blame, one alone is. While the budget is spent
// nobody is asked for a second opinion, and nobody is blamed: those requests that are still retried find the key that
// fails, and a flood of bad requests must not.
func (r *run) blame() {
	alike := r.alike()
	withdraw := alike || r.unheard
	for _, t := range r.tries {
		if withdraw && !t.reported {
			t.reported = true
			t.pick.Withdraw()
			continue
		}
		t.report()
	}
	if alike {
		r.relay.metrics.poison.Inc()
	}
}

// pause waits before the key of an account that was tried before, and before the second try of an overloaded provider:
// retryDelay, doubled with each try, with full jitter. Another account's key is never waited for.
func (r *run) pause(ctx context.Context, key *proxy.Key) error {
	again := false
	for _, t := range r.tries {
		again = again || t.pick.Key.Account == key.Account
	}
	overloaded := len(r.tries) > 0 && r.tries[len(r.tries)-1].verdict().Outcome == proxy.Overloaded
	if !again && !overloaded {
		return nil
	}
	most := r.relay.Policy.RetryDelay << min(len(r.tries)-1, 6)
	if most <= 0 {
		return nil
	}
	timer := time.NewTimer(min(time.Duration(rand.Int64N(int64(most)+1)), time.Until(r.deadline)))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// markSpent tells the official SDKs not to try again themselves when we have done so, or when waiting is hopeless.
func (r *run) markSpent(h http.Header, best *try) {
	v := best.verdict()
	if v.Outcome.Row().Another == proxy.No {
		return
	}
	if len(r.tries) > 1 || v.Wait > patience {
		h.Set("X-Should-Retry", "false")
	}
}

// close ends every attempt, the forwarded one included.
func (r *run) close() {
	for _, t := range r.tries {
		t.answer.Close()
		t.pick.Close()
	}
}

// end closes the run and settles what is owed.
func (r *run) end(ctx context.Context, permit *admission.Permit) {
	defer func() { permit.Settle(ctx, r.owed) }()
	r.close()
}
