// Package relay is the spine: admit, pick, forward, report, settle. It owns the retry loop and knows of no connection, no
// Redis and no configuration file; what it uses it declares here.
//
// No second key is tried once the caller has seen a byte. A failure that was provably not executed upstream costs nothing
// but time; one whose fate is ambiguous is paid from a budget, so that an outage upstream is not multiplied here.
package relay

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"openai-api-proxy/pkg/admission"
	"openai-api-proxy/pkg/balancer"
	"openai-api-proxy/pkg/openai"
	"openai-api-proxy/pkg/price"
	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/upstream"
	"openai-api-proxy/pkg/usage"
)

// Policy bounds the retries; see the failover block of the configuration.
type Policy struct {
	MaxRetries int           // after attempts whose fate was ambiguous
	RetryDelay time.Duration // base of the pause before a second try on one account
	Deadline   time.Duration // from the start of the request to the start of the last attempt
}

// Plan is how one configuration wants calls to be served.
type Plan struct {
	Keys   *balancer.View
	Policy Policy
	// HeaderTimeout bounds the wait for the headers of an upstream's answer.
	HeaderTimeout time.Duration
	// InjectUsage asks the upstream for the usage of streams whose caller did not.
	InjectUsage bool
	// Shared reports of a pool whether an object that is stored upstream might be somebody else's there, or lie in another
	// account than the one that is picked. Only there it is asked and remembered whose the objects are. nil: of none.
	Shared func(pool string) bool
	// Prices are what models cost.
	Prices *price.Table
}

// Options are the parts of a Relay.
type Options struct {
	Admission *admission.Admission
	Upstream  *upstream.Client
	Owners    owners
	Log       *slog.Logger
	Metrics   prometheus.Registerer
}

// Relay serves calls by its Plan.
type Relay struct {
	Options
	Plan
	budget   *budget
	sessions *sessions
	metrics  *metrics
	atMost   func(model string, u openai.Usage) (nanoUSD int64, known bool) // of the plan's prices, made once for all requests
}

// New makes a Relay without a plan; see Under.
func New(o Options) *Relay {
	return &Relay{Options: o, budget: newBudget(time.Now), sessions: newSessions(), metrics: newMetrics(o.Metrics)}
}

// Under is the same relay under another plan: all of them have one retry budget, and know of each other's sessions.
func (r *Relay) Under(p Plan) *Relay {
	other := *r
	other.Plan, other.atMost = p, p.Prices.AtMost
	return &other
}

// Serve answers the call on w and fills in the record. An error, always a *proxy.Fault, means that nothing was written
// yet. An answer that was cut is marked in the record; the caller's connection must then be cut too.
func (r *Relay) Serve(ctx context.Context, w http.ResponseWriter, call *proxy.Call, rec *proxy.Record) error {
	permit, err := r.admit(ctx, w.Header(), call, rec)
	if err != nil {
		return err
	}
	run := r.run(call, rec)
	defer run.end(ctx, permit)
	best, err := run.serve(ctx, w, permit)
	if best != nil {
		run.deliver(ctx, w, best, permit)
	}
	return err
}

// serve finds out whose the objects are that an admitted call points at, and which key answers it. There is neither a try
// nor an error when all is answered already.
func (r *run) serve(ctx context.Context, w http.ResponseWriter, permit *admission.Permit) (best *try, err error) {
	r.claim, err = r.relay.claim(ctx, r.call, r.rec)
	if err == nil && r.claim.lists(&r.call.Op) {
		return nil, r.relay.list(ctx, w, r.call, r.rec, r.claim.owner)
	}
	r.begin(r.claim.account)
	r.soft, r.need, r.why = r.claim.soft, r.relay.need(permit, r.call), whyOf(r.call, permit, nil)
	if err != nil {
		r.tell(w.Header(), err)
		return nil, err
	}
	r.hide = r.relay.injectUsage(r.call)
	r.owed = admission.Spent{} // unknown from here on: a panic leaves it so
	best, err = r.answer(ctx)
	r.tell(w.Header(), err)
	if r.owed.Unexecuted = r.unexecuted(); err != nil {
		return nil, err
	}
	r.owed.Rejected = best.verdict().Outcome == proxy.CallerFault
	r.relay.drop(ctx, r.claim, r.call, best.verdict())
	return best, nil
}

// deliver passes the answer of best to the caller.
func (r *run) deliver(ctx context.Context, w http.ResponseWriter, best *try, permit *admission.Permit) {
	r.prepare(ctx, w, best, permit)
	defer r.session.begin()()
	r.delivered(ctx, best, best.answer.Forward(w, &r.how))
}

// prepare says how the answer of best is to be passed on.
//
//go:noinline
func (r *run) prepare(ctx context.Context, w http.ResponseWriter, best *try, permit *admission.Permit) {
	r.later = r.relay.later(ctx, r.claim, r.call, permit, r.need)
	r.how = upstream.Forwarding{HideUsage: r.hide && best.verdict().Outcome == proxy.Served,
		Head: r.rec.Method == http.MethodHead, Watch: r.later.watched(r.relay.watch(ctx, r.claim, r.call, best))}
	r.session = r.relay.session(ctx, r.claim, r.call, best, permit, &r.how)
	r.markSpent(w.Header(), best)
}

// delivered writes down what was delivered, and what is owed for it.
func (r *run) delivered(ctx context.Context, best *try, d *upstream.Delivered) {
	settle(best, d, r.call, r.rec)
	if r.rec.Session != nil {
		r.owed = r.session.settle(ctx, r.rec)
		return
	}
	if r.later.settle(d, best, r.rec) {
		return
	}
	r.relay.price(best, r.call, r.rec)
	r.owed.Usage, r.owed.Cost, r.owed.Priced = r.rec.Usage, r.rec.Cost, r.rec.Priced
	r.used(best)
}

// admit asks whether the client may have what it asks for. A permit without an error is to be settled.
func (r *Relay) admit(ctx context.Context, h http.Header, call *proxy.Call, rec *proxy.Record) (*admission.Permit, error) {
	permit, err := r.Admission.Admit(ctx, call.Client, admission.Ask{Op: &call.Op, Head: &call.Head, Length: call.Body.Length,
		Price: r.atMost})
	permit.Header(h)
	if err != nil {
		tellRefused(h, call, rec, permit, err)
	}
	return permit, err
}

// settle reports how the forwarding ended and writes into the record what was spent.
func settle(best *try, d *upstream.Delivered, call *proxy.Call, rec *proxy.Record) {
	rec.BytesOut = d.Bytes
	rec.Status = best.answer.Verdict.Status
	rec.Upstream = best.answer.RequestID()
	noteSession(d, rec)
	if !d.FirstByte.IsZero() {
		rec.FirstByte = d.FirstByte.Sub(rec.Start)
	}
	if best.answer.Verdict.Outcome == proxy.Served && call.Op.Tokens == openai.TokensAnswered {
		rec.Usage = spent(d, call)
	}
	switch {
	case d.Verdict.Whole && call.Op.Free() && !call.Op.Socket:
		// A stream is shown once more that failed when it was made: nothing fails now.
	case d.Verdict.Outcome == proxy.StreamCut:
		best.pick.Cut(d.Verdict)
		rec.Attempts[len(rec.Attempts)-1].Outcome = proxy.StreamCut
		rec.Cut, rec.Broken = !d.Verdict.Whole, true
	case d.Verdict.Outcome == proxy.CallerGone:
		rec.Cut, rec.Gone = true, true
	}
}

// price writes into the record what its usage costs, once: what the client is charged, what is counted and what is told
// are the same figure. What was tried with other keys before was not answered, and its usage nobody knows.
func (r *Relay) price(best *try, call *proxy.Call, rec *proxy.Record) {
	if best.answer.Verdict.Outcome != proxy.Served || call.Op.Free() {
		return
	}
	rec.Cost, rec.Priced = r.Prices.Cost(call.Head.Model, rec.Usage)
	rec.Unpriced = !rec.Priced
}

// spent is what the answer used: as the upstream said, or an estimate from what was delivered. A caller who hangs up pays
// for what was generated until then.
func spent(d *upstream.Delivered, call *proxy.Call) openai.Usage {
	if d.Usage.Basis != openai.NoUsage {
		return d.Usage
	}
	if call.Op.Model != openai.ModelInJSON || d.Deltas == 0 {
		return openai.Usage{}
	}
	u := usage.Estimate(call.Body.Length, d.Deltas)
	u.Basis = openai.Estimated
	if d.Verdict.Outcome != proxy.Served {
		u.Basis = openai.Partial
	}
	return u
}

// injectUsage changes the body so that the upstream tells the usage of a stream, and reports whether the caller must not
// see it. A body that cannot be changed is left alone, and its usage is estimated.
func (r *Relay) injectUsage(call *proxy.Call) (hide bool) {
	if !r.InjectUsage || !call.Head.Stream || call.Head.IncludeUsage || !call.Head.Readable || !call.Body.Replayable() {
		return false
	}
	if call.Op.Path != "/v1/chat/completions" && call.Op.Path != "/v1/completions" {
		return false
	}
	body, err := openai.InjectUsage(call.Body.Held)
	if err != nil {
		return false
	}
	call.Body.Held, call.Body.Length = body, int64(len(body))
	return true
}
