package proxy

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"openai-api-proxy/pkg/openai"
)

// Record is what is remembered of one request: filled in on the way, logged and counted once at its end.
type Record struct {
	ID        string
	Start     time.Time
	Method    string
	Operation string // template of the operation, never the caller's path
	Client    string
	ClientIP  string
	Model     string
	Stream    bool
	Status    int // what the caller was answered; 499 when it hung up before an answer
	Fault     Kind
	Cause     string // why an upstream gave no answer, as the network says it; never for callers
	Key       string // id of the key that was used last
	Attempts  []Attempt
	Usage     openai.Usage
	Cost      int64         // of Usage, in nano-dollars; only if Priced
	Priced    bool          // what it cost is known
	Unpriced  bool          // it used something, and nobody knows what that costs
	FirstByte time.Duration // from Start to the first body byte for the caller; 0: none was sent
	Total     time.Duration
	BytesIn   int64
	BytesOut  int64
	Cut       bool   // the answer had begun and was not finished
	Broken    bool   // it was the upstream that failed after the answer had begun
	Gone      bool   // it was the caller who left
	Upstream  string // the upstream's own request id
	Why       []byte // JSON: how the keys were chosen, when an operator asked
	Bodies    *Bodies
	Session   *Session // what passed over a WebSocket; nil: it was none
}

// Session is what passed over a WebSocket.
type Session struct {
	BytesIn  int64 // from the caller
	Sent     int64 // messages from the caller
	Received int64 // messages from the upstream
	Code     int   // of the close; 0: there was none
}

// Bodies are the beginnings of what was asked and answered, without secrets; only where the operator wants them.
type Bodies struct {
	Request  string
	Response string
	Cut      bool // there was more of either
}

// Standing is how one limit of a client stands.
type Standing struct {
	Limit   string // a quota's is its measure and period: "usd/month"
	Left    int64  // of money, nano-dollars
	ResetMs int64  // until all of it is there again; negative: never
}

// MarshalJSON writes it for people, who count money in dollars.
func (s Standing) MarshalJSON() ([]byte, error) {
	left := strconv.FormatInt(s.Left, 10)
	if strings.HasPrefix(s.Limit, string(Dollars)+"/") {
		left = DollarText(s.Left)
	}
	return json.Marshal(struct {
		Limit   string      `json:"limit"`
		Left    json.Number `json:"left"`
		ResetMs int64       `json:"resetMs"`
	}{s.Limit, json.Number(left), s.ResetMs})
}

// Attempt is one try with one key.
type Attempt struct {
	Key     string
	Account string
	Outcome Outcome
	Status  int
	Began   time.Duration // from the request's Start
	Took    time.Duration // to the headers of the upstream's answer, or to the failure
}

// OK reports whether the caller got a whole answer that was not an error. A WebSocket is one, of status 101.
func (r *Record) OK() bool { return r.Status >= 101 && r.Status < 400 && !r.Cut && !r.Broken }
