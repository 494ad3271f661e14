package relay

import (
	"encoding/json"
	"fmt"
	"net/http"
	"unicode/utf16"

	"openai-api-proxy/pkg/admission"
	"openai-api-proxy/pkg/balancer"
	"openai-api-proxy/pkg/proxy"
)

// Why is what an operator is told of one request: how each key was found, and how each attempt went.
type Why struct {
	Client string    `json:"client"`
	Tries  []WhyTry  `json:"tries"`
	Ended  string    `json:"ended,omitempty"` // why there was no further try
	Limits WhyLimits `json:"limits,omitzero"`
}

// WhyTry is one attempt.
type WhyTry struct {
	balancer.Explanation
	Account string `json:"account,omitempty"`
	Outcome string `json:"outcome,omitempty"`
	Status  int    `json:"status,omitempty"`
	TookMs  int64  `json:"tookMs"`
	Ahead   string `json:"next,omitempty"` // what its row of the outcome table says of a second key
}

// WhyLimits is how the client's limits stood before the request was admitted and after it. What it used beyond what was
// expected of it is told later.
type WhyLimits struct {
	Before []proxy.Standing `json:"before,omitempty"`
	After  []proxy.Standing `json:"after,omitempty"`
}

// whyOf begins the account of a call with how the limits stood; what was refused took nothing of them.
func whyOf(call *proxy.Call, permit *admission.Permit, refused error) Why {
	if !call.Explain {
		return Why{}
	}
	w := Why{Client: call.Client.ID}
	w.Limits.Before, w.Limits.After = permit.Standings(refused != nil)
	return w
}

// explain notes how a key was found, or that none was.
func (r *run) explain(pick *balancer.Pick) {
	if r.call.Explain {
		r.why.Tries = append(r.why.Tries, WhyTry{Explanation: r.relay.Keys.Explain(r.ask(), pick)})
	}
}

// explained notes how the attempt went.
func (r *run) explained(a *proxy.Attempt) {
	if !r.call.Explain {
		return
	}
	t := &r.why.Tries[len(r.why.Tries)-1]
	t.Account, t.Outcome, t.Status, t.TookMs = a.Account, a.Outcome.String(), a.Status, a.Took.Milliseconds()
	t.Ahead = anotherNames[a.Outcome.Row().Another]
}

var anotherNames = map[proxy.Another]string{proxy.No: "no other key", proxy.Yes: "any other key", proxy.OtherAccount: "other accounts first",
	proxy.OtherAccounts: "other accounts only", proxy.OnceAfterPause: "one more, after a pause"}

// mostWhy bounds the header; a longer explanation loses its lists of keys there and keeps them in the record.
const mostWhy = 6 << 10

// whyHeader is where the caller's answer says it, as JSON.
const whyHeader = "X-Proxy-Why"

// tell puts the explanation into the record and, as far as it is known before the answer begins, into the answer.
func (r *run) tell(h http.Header, err error) {
	if !r.call.Explain {
		return
	}
	if err != nil {
		r.why.Ended = err.Error()
	}
	text, _ := json.Marshal(r.why)
	r.rec.Why = text
	if len(text) > mostWhy {
		short := r.why
		short.Tries = append([]WhyTry(nil), r.why.Tries...)
		for i := range short.Tries {
			short.Tries[i].Keys = nil
		}
		text, _ = json.Marshal(short)
	}
	h.Set(whyHeader, ascii(text))
}

// tellRefused does so for a call that was not admitted.
func tellRefused(h http.Header, call *proxy.Call, rec *proxy.Record, permit *admission.Permit, err error) {
	(&run{call: call, rec: rec, why: whyOf(call, permit, err)}).tell(h, err)
}

// ascii escapes what a header cannot hold.
func ascii(text []byte) string {
	out := make([]byte, 0, len(text))
	for _, r := range string(text) {
		switch {
		case r < 0x80:
			out = append(out, byte(r))
		case r < 0x10000:
			out = fmt.Appendf(out, `\u%04x`, r)
		default:
			high, low := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		}
	}
	return string(out)
}
