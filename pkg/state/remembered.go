package state

import (
	"cmp"
	"encoding/json"
	"time"

	"openai-api-proxy/pkg/openai"
)

// remembered is a Request as stores write it: short names, times in ms and spans in us, because there may be a million of
// them. What an older or newer version does not know is left out.
type remembered struct {
	ID        string          `json:"i"`
	At        int64           `json:"t"`
	Method    string          `json:"e,omitempty"` // left out: POST
	Operation string          `json:"o,omitempty"`
	Client    string          `json:"c,omitempty"`
	ClientIP  string          `json:"a,omitempty"`
	Key       string          `json:"k,omitempty"`
	Model     string          `json:"m,omitempty"`
	Stream    bool            `json:"s,omitempty"`
	Status    int             `json:"h,omitempty"` // left out: 200
	Outcome   string          `json:"r,omitempty"` // left out: succeeded
	Fault     string          `json:"f,omitempty"`
	Cause     string          `json:"x,omitempty"`
	Attempts  []rememberedTry `json:"n,omitempty"`
	Tokens    []int64         `json:"u,omitempty"` // input, cached, output, reasoning
	Basis     openai.Basis    `json:"b,omitempty"` // left out: exact, if there are tokens
	Cost      *int64          `json:"v,omitempty"` // left out: not known
	FirstByte int64           `json:"p,omitempty"`
	Total     int64           `json:"d,omitempty"`
	BytesIn   int64           `json:"y,omitempty"`
	BytesOut  int64           `json:"z,omitempty"`
	Upstream  string          `json:"q,omitempty"`
	Replica   string          `json:"g,omitempty"`
	Why       json.RawMessage `json:"w,omitempty"`
	Bodies    *Bodies         `json:"l,omitempty"`
}

type rememberedTry struct {
	Key     string `json:"k,omitempty"` // left out: the request's
	Account string `json:"a,omitempty"` // left out: the key's id
	Outcome string `json:"r,omitempty"` // left out: served
	Status  int    `json:"h,omitempty"`
	Took    int64  `json:"d,omitempty"`
}

const (
	usualMethod  = "POST"
	usualStatus  = 200
	usualOutcome = "succeeded"
	usualTry     = "served"
)

// UnpackRequest reads what Pack wrote.
func UnpackRequest(text []byte) (Request, error) {
	var m remembered
	if err := json.Unmarshal(text, &m); err != nil {
		return Request{}, err
	}
	r := Request{ID: m.ID, At: time.UnixMilli(m.At).UTC(), Method: cmp.Or(m.Method, usualMethod), Operation: m.Operation, Client: m.Client,
		ClientIP: m.ClientIP, Key: m.Key, Model: m.Model, Stream: m.Stream, Status: cmp.Or(m.Status, usualStatus),
		Outcome: cmp.Or(m.Outcome, usualOutcome), Fault: m.Fault, Cause: m.Cause, Usage: openai.Usage{Basis: m.Basis},
		FirstByte: us(m.FirstByte), Total: us(m.Total), BytesIn: m.BytesIn, BytesOut: m.BytesOut,
		Upstream: m.Upstream, Replica: m.Replica, Why: m.Why, Bodies: m.Bodies}
	if t := m.Tokens; len(t) == 4 {
		r.Usage = openai.Usage{Input: t[0], Cached: t[1], Output: t[2], Reasoning: t[3], Basis: cmp.Or(m.Basis, openai.Exact)}
	}
	if m.Cost != nil {
		r.Cost, r.Priced = *m.Cost, true
	}
	for _, a := range m.Attempts {
		key := cmp.Or(a.Key, r.Key)
		r.Attempts = append(r.Attempts, Tried{key, cmp.Or(a.Account, key), cmp.Or(a.Outcome, usualTry), a.Status, us(a.Took)})
	}
	return r, nil
}

func us(n int64) time.Duration { return time.Duration(n) * time.Microsecond }
