package relay

import (
	"openai-api-proxy/pkg/admission"
	"openai-api-proxy/pkg/balancer"
	"openai-api-proxy/pkg/openai"
	"openai-api-proxy/pkg/proxy"
)

// need is what a call is expected to use of the limits of a key. Nobody asks for it while no key limits tokens or money.
func (r *Relay) need(permit *admission.Permit, call *proxy.Call) balancer.Need {
	if !r.Keys.Metered() {
		return balancer.Need{}
	}
	u := permit.Expect(admission.Ask{Op: &call.Op, Head: &call.Head, Length: call.Body.Length})
	n := balancer.Need{Tokens: u.Input + u.Output}
	if !call.Op.Free() {
		cost, known := r.Prices.AtMost(call.Head.Model, u)
		n.NanoUSD, n.Unpriced = cost, !known
	}
	return n
}

// implausible are more tokens than any model takes in one request. An upstream that says so would put a key off for years.
const implausible = 1 << 27

// used tells the key whose answer was forwarded what it really used, where that is known. What was not priced costs what was
// expected.
func (r *run) used(best *try) {
	u := r.rec.Usage
	n := balancer.Need{Tokens: max(u.Input, 0) + max(u.Output, 0), NanoUSD: r.need.NanoUSD}
	if u.Basis == openai.NoUsage || n.Tokens > implausible {
		return
	}
	if r.rec.Priced {
		n.NanoUSD = r.rec.Cost
	}
	best.pick.Used(n)
}
