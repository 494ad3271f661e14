package admission

import (
	"context"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"openai-api-proxy/pkg/openai"
	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
)

// Permit is the answer to one request, admitted or refused: how the client's limits stand after it, and what it owes.
// A nil permit is one about which nothing is known.
type Permit struct {
	admission   *Admission
	client      *proxy.Client
	model       string
	shape       shape
	expected    amounts
	subject     string
	reservation string // empty: there is nothing to settle
	charges     []state.Charge
	balances    []state.Balance // of the charges, in order; nil when nobody knows them
	unheard     bool            // decided without the store, or its answer was lost
	lease       *lease          // nil: it was charged by itself
	entered     bool            // admitted, and so to be settled
	learns      bool            // how long answers are is of interest beyond the limits of its client
	settled     atomic.Bool

	chargeRoom  [usualLimits]state.Charge  // for the charges, where they have room
	balanceRoom [usualLimits]state.Balance // for the balances that a lease tells

	ask   *Ask // of a session, whose responses are asked for one by one; nil: it is none
	part  bool // of a session: it is no request by itself, and holds no slot
	given bool // its tokens and its money were given back when the session began
}

// usualLimits are as many as nearly all clients have at most: the two rates and a quota.
const usualLimits = 3

// Spent is how a request ended. The zero value says that nobody knows: what was expected stays charged.
type Spent struct {
	// Usage is what was used, as far as it is known.
	Usage openai.Usage
	// Cost is what that costs, in nano-dollars. Priced says that it is known; otherwise what was expected stays charged.
	Cost   int64
	Priced bool
	// Unexecuted is set when the upstream certainly carried nothing out: it was never asked, or refused every time for the
	// key's sake (401, 403, 429, no credit). Tokens and money are given back; the request stays counted.
	Unexecuted bool
	// Rejected is set when the upstream refused the request itself with a 4xx. That is given back to soft clients only: an
	// upstream may find out late, when it has generated already.
	Rejected bool
}

// needsSettling reports whether anything of the charges will be replaced or freed. A request stays one request.
func (p *Permit) needsSettling() bool { return p.client.Concurrency > 0 || p.client.Metered() }

// Expect is what a request will probably use, also where no limit of its client asks for it. What it really uses is learned
// from then on.
func (p *Permit) Expect(ask Ask) openai.Usage {
	p.shape, p.learns = ask.shape(), true
	return p.admission.guess(p, ask)
}

// Expected is what the limits of the client were charged, and stay charged while nobody knows what was used.
func (p *Permit) Expected() (tokens, nanoUSD int64) {
	if p == nil || !p.entered {
		return 0, 0
	}
	return p.expected.tokens, p.expected.nanoUSD
}

// Settle replaces what was expected by what was spent and frees the slot. The second call does nothing. It waits for
// nobody, and outlives the request's context: a caller who hangs up still pays for what was generated.
func (p *Permit) Settle(_ context.Context, spent Spent) {
	if p == nil || !p.entered && !p.learns || p.settled.Swap(true) {
		return
	}
	a := p.admission
	if spent.Usage.Basis == openai.Exact && (!p.client.Strict || p.learns) && p.shape != free {
		a.outputs.see(p.client.ID, p.model, spent.Usage.Output)
	}
	if !p.entered {
		return
	}
	used, known := p.used(spent)
	if p.given {
		known = false // its responses were settled by themselves
	}
	truth := func(c state.Charge) int64 {
		switch measure := measureOf(c); {
		case !known || measure == proxy.Requests:
			return c.Cost
		case measure == proxy.Dollars:
			return used.nanoUSD
		default:
			return used.tokens
		}
	}
	if known && p.client.Strict && p.client.Metered() && (used.tokens > p.expected.tokens || used.nanoUSD > p.expected.nanoUSD) {
		a.metrics.overshoot.Inc()
		a.log.Error("a request used more than its bound: the strict limits of this client were exceeded", "client", p.client.ID,
			"model", p.model, "tokens", used.tokens, "bound", p.expected.tokens,
			"usd", proxy.DollarText(used.nanoUSD), "usd_bound", proxy.DollarText(p.expected.nanoUSD))
	}
	if p.lease != nil {
		a.teller.reserved.Add(-p.expected.tokens)
		a.leases.settle(p, truth)
		return
	}
	a.teller.settle(p, p.settlement(truth))
}

// implausible are more tokens than any model takes in one request. An upstream that says so would put a client off for years.
const implausible = 1 << 27

// used is what is to be charged in place of what was expected; not known: that stays. A strict client is given back only
// what the upstream says in figures that it did not use.
func (p *Permit) used(spent Spent) (u amounts, known bool) {
	if spent.Unexecuted || spent.Rejected && !p.client.Strict || p.shape == free {
		return amounts{}, true
	}
	return p.measured(spent)
}

// measured is what the usage amounts to.
func (p *Permit) measured(spent Spent) (u amounts, known bool) {
	if basis := spent.Usage.Basis; basis == openai.NoUsage || basis != openai.Exact && p.client.Strict {
		return amounts{}, false
	}
	u.tokens = max(spent.Usage.Input, 0) + max(spent.Usage.Output, 0)
	if u.tokens > implausible && u.tokens > p.expected.tokens {
		p.admission.log.Warn("an upstream says that one request used more tokens than any can; it is not believed", "client", p.client.ID,
			"model", p.model, "tokens", u.tokens)
		return amounts{}, false
	}
	u.nanoUSD = p.expected.nanoUSD // 0 for a client whose money nobody limits
	if spent.Priced && priced(p.client) {
		u.nanoUSD = min(max(spent.Cost, 0), most)
	}
	return u, true
}

// settlement is the truth about the permit, with what was spent of each charge.
func (p *Permit) settlement(spent func(state.Charge) int64) state.Settlement {
	s := state.Settlement{Subject: p.subject, Reservation: p.reservation, Unheard: p.unheard, Amounts: make([]state.Spending, 0, len(p.charges))}
	for i, c := range p.charges {
		if c.Slots > 0 {
			continue
		}
		amount := state.Spending{Charge: c, Spent: spent(c)}
		switch {
		case c.Rate.Count > 0:
		case i < len(p.balances) && !p.balances[i].Start.IsZero():
			amount.Start = p.balances[i].Start
		default:
			amount.Start = c.Quota.Start(time.Now())
		}
		s.Amounts = append(s.Amounts, amount)
	}
	return s
}

// pressing reports whether the next request of the client may be refused for want of what this one gives back: one of few slots
// that are left, or of a limit that is near its end. In a session the next response waits for it.
func (p *Permit) pressing() bool {
	if p.part {
		return true
	}
	for i, c := range p.charges {
		known := i < len(p.balances)
		switch {
		case c.Slots > 0 && (!known || p.balances[i].Left < max(c.Slots/2, fewSlots)):
			return true
		case c.Slots == 0 && known && p.balances[i].Left < spare*c.Cost:
			return true
		}
	}
	return false
}

// fewSlots are so few that the next request may want each of them: one that ends frees its slot at once, and not with others a
// moment later. Where more are left than that, and half of all, a slot is not missed for so long.
const fewSlots = 64

// Header tells the caller how the rates stand, in the names and the form in which OpenAI does. The limit is the one that
// was configured; what remains is what may be sent at once, so a burst above the limit shows there.
func (p *Permit) Header(h http.Header) {
	if p == nil {
		return
	}
	var t rateText
	text := t.room[:0]
	for i, b := range p.balances {
		switch p.charges[i].Limit {
		case requests:
			text = t.add(text, &ofRequests, p.client.RPM, b)
		case tokens:
			text = t.add(text, &ofTokens, p.client.TPM, b)
		}
	}
	t.set(h, string(text))
}

// rateNames are the headers of one rate: its limit, what remains, when it is whole again.
type rateNames [3]string

var (
	ofRequests = rateNames{"X-Ratelimit-Limit-Requests", "X-Ratelimit-Remaining-Requests", "X-Ratelimit-Reset-Requests"}
	ofTokens   = rateNames{"X-Ratelimit-Limit-Tokens", "X-Ratelimit-Remaining-Tokens", "X-Ratelimit-Reset-Tokens"}
)

// rateText makes the headers of both rates out of one piece of text: this is done for every request.
type rateText struct {
	room  [128]byte
	names [2 * len(ofRequests)]string
	ends  [2 * len(ofRequests)]int // of the values in the text
	n     int
}

func (t *rateText) add(text []byte, names *rateNames, limit int64, b state.Balance) []byte {
	text = t.end(strconv.AppendInt(text, limit, 10), names[0])
	text = t.end(strconv.AppendInt(text, max(b.Left, 0), 10), names[1])
	return t.end(append(text, milliseconds(b.Reset).String()...), names[2])
}

func (t *rateText) end(text []byte, name string) []byte {
	t.names[t.n], t.ends[t.n] = name, len(text)
	t.n++
	return text
}

func (t *rateText) set(h http.Header, text string) {
	values, begin := make([]string, t.n), 0
	for i := range t.n {
		values[i] = text[begin:t.ends[i]]
		h[t.names[i]] = values[i : i+1 : i+1]
		begin = t.ends[i]
	}
}

// milliseconds rounds up, so that who waits for as long as it says never comes too early.
func milliseconds(d time.Duration) time.Duration {
	return (d + time.Millisecond - 1).Truncate(time.Millisecond)
}
