package relay

import (
	"context"
	"errors"
	"time"

	"openai-api-proxy/pkg/admission"
	"openai-api-proxy/pkg/balancer"
	"openai-api-proxy/pkg/openai"
	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/upstream"
)

// session is what a WebSocket uses. Each usage that the upstream tells of is charged when it is told, at its own price, to the
// client and to the key. Of the client's limits each response takes what a request would; see conversation. Of the key's limits
// the session has a deposit, which is given back at the end unless a response had begun whose end was not told.
type session struct {
	relay    *Relay
	call     *proxy.Call
	permit   *admission.Permit
	pick     *balancer.Pick
	answer   *upstream.Answer
	talk     conversation
	runsOut  *time.Timer // guarded by the sessions; nil: nothing does
	cost     int64
	told     bool
	over     bool // its end was asked for: what still comes is only charged
	unpriced bool // a part of it
}

// session prepares the forwarding of an answer that is one; nil: it is none.
func (r *Relay) session(ctx context.Context, c claim, call *proxy.Call, t *try, permit *admission.Permit, how *upstream.Forwarding) *session {
	if !t.answer.Switched() {
		return nil
	}
	s := &session{relay: r, call: call, permit: permit, pick: t.pick, answer: t.answer}
	permit.GiveBack()
	how.Gate = s.gate(ctx, r.gate(ctx, c, call, t))
	how.Hear = func(told openai.Told) error { return s.hear(ctx, told) }
	return s
}

// gate looks at what asks for a response before the upstream has it: one that the client's limits do not allow is refused, and the
// session goes on. look is the gate that there would be without limits.
func (s *session) gate(ctx context.Context, look func([]byte) error) func([]byte) error {
	if !s.call.Client.Metered() {
		return look
	}
	return func(text []byte) error {
		if look != nil {
			if err := look(text); err != nil {
				return err
			}
		}
		if !openai.AsksForResponse(text) {
			return nil
		}
		permit, err := s.permit.Response(ctx, len(text))
		if err != nil {
			return s.refuse(text, err)
		}
		s.talk.ask(permit)
		return nil
	}
}

// refuse answers what asks for a response in place of the upstream, with the error that a request would have.
func (s *session) refuse(text []byte, err error) error {
	status, e := 503, openai.Error{Message: "internal error", Type: "server_error", Code: string(proxy.Internal)}
	var f *proxy.Fault
	if errors.As(err, &f) {
		e.Message, e.Code, e.Param = f.Public, string(f.Kind), f.Param
		switch f.Kind {
		case proxy.RateLimited:
			status, e.Type = 429, "rate_limit_error"
		case proxy.OverBudget:
			status, e.Type = 429, "insufficient_quota"
		}
	}
	return &upstream.Unsaid{Event: e.Answer(text, "event_"+s.call.ID+s.talk.turn(), status)}
}

// hear takes what the upstream says. An error ends the session: the upstream answers without being asked, as it does where it finds
// out by itself when a speaker has ended, and nothing is left for that.
func (s *session) hear(ctx context.Context, t openai.Told) (err error) {
	if t.Used {
		s.charge(t)
	}
	if !s.call.Client.Metered() {
		return nil
	}
	switch {
	case t.Began:
		if !s.talk.begin() && !s.over {
			var p *admission.Permit
			if p, err = s.permit.Response(ctx, 0); err == nil {
				s.talk.began(p)
			}
		}
	case t.Refused:
		s.talk.refused().Settle(ctx, admission.Spent{Unexecuted: true})
	case t.Ended:
		if p := s.talk.end(); p != nil {
			p.Settle(ctx, s.spent(t))
		} else if t.Used {
			s.permit.Charge(s.spent(t)) // nobody knew whether it was allowed
		}
	case t.Used:
		s.permit.Charge(s.spent(t))
		if !s.over {
			err = s.permit.Left(ctx)
		}
	}
	var f *proxy.Fault
	if errors.As(err, &f) && (f.Kind == proxy.RateLimited || f.Kind == proxy.OverBudget) {
		s.over = true
		return errors.New(f.Public)
	}
	return nil // not to know is no reason to end it
}

// model is the one by which is charged: the caller's, or for want of one that of the upstream.
func (s *session) model(told string) string {
	if s.call.Head.Model != "" {
		return s.call.Head.Model
	}
	return told
}

// spent is what an event tells of; of a response that told of nothing, nothing was used.
func (s *session) spent(t openai.Told) admission.Spent {
	cost, priced := s.relay.Prices.Cost(s.model(t.Model), t.Usage)
	return admission.Spent{Usage: t.Usage, Cost: cost, Priced: priced, Unexecuted: !t.Used}
}

// charge charges one usage to the key, and adds it up.
func (s *session) charge(t openai.Told) {
	spent := s.spent(t)
	s.cost, s.told, s.unpriced = s.cost+spent.Cost, true, s.unpriced || !spent.Priced
	if n := (balancer.Need{Tokens: t.Usage.Input + t.Usage.Output, NanoUSD: spent.Cost}); n.Tokens <= implausible {
		s.pick.UsedMore(n)
	}
}

// settle writes down what the session cost, and is what is owed of that for which it was admitted. Responses whose end was not told
// stay charged as they were expected.
func (s *session) settle(ctx context.Context, rec *proxy.Record) admission.Spent {
	for _, p := range append(s.talk.begun, s.talk.asked...) { // both lanes have ended
		p.Settle(ctx, admission.Spent{})
	}
	if s.told {
		rec.Cost, rec.Priced, rec.Unpriced = s.cost, !s.unpriced, s.unpriced
	}
	if rec.Usage.Basis != openai.Partial {
		s.pick.Used(balancer.Need{})
	}
	return admission.Spent{Unexecuted: true}
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
