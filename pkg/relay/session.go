package relay

import (
	"context"
	"time"

	"openai-api-proxy/pkg/admission"
	"openai-api-proxy/pkg/balancer"
	"openai-api-proxy/pkg/openai"
	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/upstream"
)

// session is what a WebSocket uses. What it is admitted for is a deposit: each usage that the upstream tells of is charged by
// itself when it is told, at its own price, to the client and to the key; the deposit is given back at the end. It stays where
// a response had begun whose end was not told.
type session struct {
	relay    *Relay
	call     *proxy.Call
	permit   *admission.Permit
	pick     *balancer.Pick
	answer   *upstream.Answer
	runsOut  *time.Timer // guarded by the sessions; nil: nothing does
	cost     int64
	told     bool
	unpriced bool // a part of it
}

// session prepares the forwarding of a call that may become a session; nil: it cannot.
func (r *Relay) session(ctx context.Context, c claim, call *proxy.Call, t *try, permit *admission.Permit, how *upstream.Forwarding) *session {
	if !call.Op.Socket {
		return nil
	}
	s := &session{relay: r, call: call, permit: permit, pick: t.pick, answer: t.answer}
	how.Gate, how.Charge = r.gate(ctx, c, call, t), s.charge
	return s
}

// charge charges one usage. The model is the one that the upstream names, for want of one that the caller has named.
func (s *session) charge(u openai.Usage, model string) {
	if s.call.Head.Model != "" {
		model = s.call.Head.Model
	}
	cost, priced := s.relay.Prices.Cost(model, u)
	s.cost, s.told, s.unpriced = s.cost+cost, true, s.unpriced || !priced
	s.permit.Charge(admission.Spent{Usage: u, Cost: cost, Priced: priced})
	if n := (balancer.Need{Tokens: u.Input + u.Output, NanoUSD: cost}); n.Tokens <= implausible {
		s.pick.UsedMore(n)
	}
}

// settle writes down what the session cost, and is what is owed of its deposit.
func (s *session) settle(rec *proxy.Record) admission.Spent {
	if s.told {
		rec.Cost, rec.Priced, rec.Unpriced = s.cost, !s.unpriced, s.unpriced
	}
	if rec.Usage.Basis == openai.Partial {
		return admission.Spent{}
	}
	s.pick.Used(balancer.Need{})
	return admission.Spent{Unexecuted: true}
}

// sessionAllowed refuses the session of a call where it could be somebody else's: nobody remembers whose the calls are.
func (r *Relay) sessionAllowed(call *proxy.Call) error {
	if !call.Op.Socket || r.Shared == nil || !r.Shared(call.Client.Pool) || !openai.QueryNames(call.Query, "call_id") {
		return nil
	}
	return &proxy.Fault{Kind: proxy.NotSupportedYet, Param: "call_id",
		Public: "sessions of calls are not supported when there is more than one account or client"}
}

// noteSession writes down what passed in a session.
func noteSession(d *upstream.Delivered, rec *proxy.Record) {
	if rec.Session = d.Session; d.Session == nil {
		return
	}
	rec.BytesIn = d.Session.BytesIn
	if rec.Model == "" {
		rec.Model = d.Model
	}
}
