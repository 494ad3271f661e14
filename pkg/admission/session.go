package admission

import (
	"context"
	"errors"
	"math"
	"time"

	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
)

// A session may go on for an hour and use any amount. It is admitted like a request, so that none begins for a client who has
// nothing left; then it gives back the tokens and the money that it was admitted for, and each of its responses is admitted and
// settled by itself. What it uses besides is charged when it is told.

// GiveBack gives back the tokens and the money that a session was admitted for. It is called once, when it has begun.
func (p *Permit) GiveBack() {
	if p == nil || !p.entered || p.unheard || !p.client.Metered() {
		return // what was decided without the state is settled at the end
	}
	p.given = true
	p.apart(func(i int, c *state.Charge) (spent int64, start time.Time) {
		if i < len(p.balances) {
			start = p.balances[i].Start
		}
		return 0, start
	})
}

// Charge charges the client for what was used besides what the request was admitted for: by a session besides its responses, or by
// an earlier request that this one tells of, and which may be free itself. It is told in the background, like a settlement; what the
// limits do not hold becomes a debt of the requests after it.
func (p *Permit) Charge(spent Spent) {
	if p == nil || !p.entered || !p.client.Metered() {
		return
	}
	used, known := p.measured(spent)
	if !known {
		return
	}
	p.apart(func(_ int, c *state.Charge) (int64, time.Time) {
		c.Cost = 0 // it is more than what was admitted
		if measureOf(*c) == proxy.Dollars {
			return used.nanoUSD, time.Time{}
		}
		return used.tokens, time.Time{}
	})
}

// apart corrects what the permit was charged of tokens and money. truth says what was spent of a charge, whose cost it may change,
// and when the period began; the zero time: the present one.
func (p *Permit) apart(truth func(i int, c *state.Charge) (spent int64, start time.Time)) {
	s := state.Settlement{Subject: p.subject, Reservation: p.admission.newReservation(), Apart: true}
	for i, c := range p.charges {
		if measureOf(c) == proxy.Requests {
			continue // nor a slot
		}
		amount := state.Spending{Charge: c}
		amount.Spent, amount.Start = truth(i, &amount.Charge)
		if c.Rate.Count == 0 && amount.Start.IsZero() {
			amount.Start = c.Quota.Start(time.Now())
		}
		s.Amounts = append(s.Amounts, amount)
	}
	p.admission.teller.tell(s)
	rouse(p.admission.teller.hurry) // the next response waits for it
}

// Response admits one response of a session, which a message of so many bytes asks for: it takes of the tokens and the money of the
// client what a request would, and is neither a request nor does it take a slot. Its permit is to be settled like others. Errors
// are those of Admit.
func (p *Permit) Response(ctx context.Context, length int) (*Permit, error) {
	if p == nil || p.ask == nil || !p.client.Metered() {
		return nil, nil
	}
	ask := *p.ask
	ask.Length = int64(length)
	u := p.admission.guess(p, ask)
	expected := amounts{tokens: min(u.Input+u.Output, most)}
	if priced(p.client) {
		var err error
		if expected.nanoUSD, err = ask.price(u); err != nil {
			return nil, err
		}
	}
	return p.more(ctx, expected)
}

// Left says, as an error of Admit, that nothing is left of the tokens or the money of the client.
func (p *Permit) Left(ctx context.Context) error {
	if p == nil || p.ask == nil || !p.client.Metered() {
		return nil
	}
	one, err := p.more(ctx, amounts{tokens: 1, nanoUSD: 1})
	if err == nil {
		one.Settle(ctx, Spent{Unexecuted: true})
	}
	return err
}

// more takes so much more of the tokens and the money. It waits for what the client used before, which counts.
func (p *Permit) more(ctx context.Context, expected amounts) (*Permit, error) {
	a := p.admission
	q := &Permit{admission: a, client: p.client, model: p.model, shape: uses, expected: expected, subject: p.subject, part: true}
	for _, c := range chargesOf(nil, p.client, expected) {
		if measureOf(c) != proxy.Requests {
			q.charges = append(q.charges, c)
		}
	}
	a.teller.caughtUp(ctx, p.subject)
	limit, err := a.take(ctx, q)
	var f *proxy.Fault
	if err != nil {
		if limit != "" {
			a.metrics.refuse(limit)
		}
		if errors.As(err, &f) && f.Kind == proxy.CallerLeft {
			return nil, nil // nobody is left to be refused
		}
		return nil, err
	}
	if !q.entered {
		a.teller.enter(q, math.MaxInt64)
	}
	return q, nil
}
