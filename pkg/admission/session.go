package admission

import (
	"time"

	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
)

// Charge charges the client for what was used besides what the request was admitted for: by a session while it goes on, or by an
// earlier request that this one tells of, and which may be free itself. It is told in the background, like a settlement; what the
// limits do not hold becomes a debt of the requests after it.
func (p *Permit) Charge(spent Spent) {
	if p == nil || !p.entered || !p.client.Metered() {
		return
	}
	used, known := p.measured(spent)
	if !known {
		return
	}
	a := p.admission
	if p.shape != free {
		a.outputs.see(p.client.ID, p.model, spent.Usage.Output)
	}
	s := state.Settlement{Subject: p.subject, Reservation: a.newReservation(), Apart: true}
	for _, c := range p.charges {
		amount := state.Spending{Charge: c, Spent: used.tokens}
		switch measureOf(c) {
		case proxy.Requests:
			continue // nor a slot
		case proxy.Dollars:
			amount.Spent = used.nanoUSD
		}
		if amount.Cost = 0; c.Rate.Count == 0 {
			amount.Start = c.Quota.Start(time.Now())
		}
		s.Amounts = append(s.Amounts, amount)
	}
	a.teller.tell(s)
}
