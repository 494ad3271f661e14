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
	u := permit.Expect(admission.Ask{Op: call.Op, Head: call.Head, Length: call.Body.Length})
	return balancer.Need{Tokens: u.Input + u.Output}
}

// used tells the key whose answer was forwarded what it really used, where that is known.
func (r *run) used(best *try) {
	if u := r.rec.Usage; u.Basis != openai.NoUsage {
		best.pick.Used(balancer.Need{Tokens: max(u.Input, 0) + max(u.Output, 0)})
	}
}
