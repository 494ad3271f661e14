package mockopenai

import (
	"crypto/tls"
	"maps"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// exchange is one request and its answer.
type exchange struct {
	s       *Server
	w       http.ResponseWriter
	r       *http.Request
	plan    *plan
	id      string // unique; part of every id in the answer
	key     string
	account *account // nil if the key is not valid
	body    []byte
	at      string // when what it stores was made, in seconds
	ask     ask
	fault   *Fault // strikes within the answer; nil: none does
}

// usualHead is what every answer carries. Its values are shared by all answers and never changed.
var usualHead = http.Header{
	"Openai-Organization":  {"org-mock"},
	"Openai-Processing-Ms": {"12"},
	"Openai-Version":       {"2020-10-01"},
}

// usualRates is what answers carry besides while there is no rate limit.
var usualRates = http.Header{
	"X-Ratelimit-Limit-Requests":     {"10000"},
	"X-Ratelimit-Limit-Tokens":       {"2000000"},
	"X-Ratelimit-Remaining-Requests": {"9999"},
	"X-Ratelimit-Remaining-Tokens":   {"1999981"},
	"X-Ratelimit-Reset-Requests":     {"6ms"},
	"X-Ratelimit-Reset-Tokens":       {"0s"},
}

// answer does all that follows once the body was read, or could not be.
func (x *exchange) answer(readErr error) {
	x.head()
	if x.account == nil {
		x.refuse(refusals["401"])
		return
	}
	x.account.bytesIn.Add(int64(len(x.body)))
	if readErr != nil {
		x.account.aborted.Add(1)
		return
	}
	op, no := x.understand()
	if x.fault = x.s.faults.take(x.key, x.ask.model, x.r.URL.Path); x.fault != nil {
		x.account.faults.Add(1)
		if x.strikeEarly() {
			return
		}
	}
	if op.serve != nil && !x.admit() {
		return
	}
	switch {
	case !x.pause(x.plan.latency()):
	case no != nil:
		x.refuse(*no)
	default:
		op.serve(x)
	}
}

// understand finds the operation and what is asked of it, or why it is refused. The model is known in both cases, if it
// was said at all, so that a fault for it strikes.
func (x *exchange) understand() (operation, *refusal) {
	op, ok := operations[route{x.r.Method, x.r.URL.Path}]
	model, one := strings.CutPrefix(x.r.URL.Path, "/v1/models/")
	switch {
	case ok:
	case one && (x.r.Method == http.MethodGet || x.r.Method == http.MethodHead):
		op, x.ask.model = operation{serve: (*exchange).model}, model
	case isStored(x.r.URL.Path):
		op = operation{serve: (*exchange).stored, bodiless: true, keeps: true}
	default:
		return op, unknownURL(x.r)
	}
	if x.r.URL.Path == "/v1/realtime" {
		x.ask.model = x.r.URL.Query().Get("model")
	}
	if x.r.Method == http.MethodPost && (len(x.body) > 0 || !op.bodiless) {
		var no *refusal
		if x.ask, no = readAsk(x.r.Header.Get("Content-Type"), x.body, op); no != nil {
			return op, no
		}
	}
	if x.ask.model == missingModel {
		no := refusals["404_model"]
		return op, &no
	}
	if op.modelNeeded && x.ask.model == "" {
		return op, badRequest("model", "you must provide a model parameter")
	}
	return op, nil
}

func (x *exchange) head() {
	h := x.w.Header()
	maps.Copy(h, usualHead)
	if !x.plan.limited() && !x.plan.NoRateHeaders {
		maps.Copy(h, usualRates)
	}
	h["X-Request-Id"] = []string{"req_" + x.id}
	if x.plan.SetCookie {
		h["Set-Cookie"] = []string{"__cf_bm=" + x.id + "; path=/; HttpOnly"}
	}
}

// json sends a whole answer.
func (x *exchange) json(body []byte) { x.send("application/json", body) }

// send sends a whole answer, unless a fault strikes it.
func (x *exchange) send(contentType string, body []byte) {
	if x.fault == nil {
		x.write(http.StatusOK, contentType, body)
		return
	}
	x.sendStruck(contentType, body)
}

func (x *exchange) write(status int, contentType string, body []byte) {
	h := x.w.Header()
	h["Content-Type"] = []string{contentType}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	x.w.WriteHeader(status)
	x.w.Write(body) // a caller who left is found by the pause or the flush before
}

// bill notes tokens that the key has to pay for.
func (x *exchange) bill(input, output int64) {
	x.account.bill(input, output)
	if x.s.billed != nil {
		x.s.billed("req_"+x.id, input, output)
	}
}

// pause waits and reports whether to go on: false once the caller left or the server was closed.
func (x *exchange) pause(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	return x.wait(t.C)
}

// wait is pause with a channel; nil waits for ever. net/http notices a caller who leaves because the body was read.
func (x *exchange) wait(over <-chan time.Time) bool {
	select {
	case <-over:
		return true
	case <-x.r.Context().Done():
		x.account.aborted.Add(1)
		return false
	case <-x.s.done:
		sever(x.w, false)
		return false
	}
}

// sever ends the connection without ending the answer: with a RST, or with a FIN. What was flushed still arrives.
func sever(w http.ResponseWriter, rst bool) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // HTTP/2: net/http resets the stream
	}
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	if t, ok := conn.(*net.TCPConn); ok && rst {
		t.SetLinger(0)
	}
	conn.Close()
}
