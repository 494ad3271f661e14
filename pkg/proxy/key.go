package proxy

import "time"

// Key is one upstream credential as configured. It never changes: a new configuration makes new ones.
type Key struct {
	ID      string
	Account string // keys of one account share the upstream's rate limits and credit
	Secret  Secret
	// Endpoint is the upstream origin with an optional path prefix, without the /v1: "https://api.openai.com".
	Endpoint     string
	Organization string // sent as OpenAI-Organization when set
	Project      string // sent as OpenAI-Project when set
	Weight       int64  // 1 to 1000
	Models       Patterns
	Limits
	Enabled bool
	Expires time.Time // zero: never
	Note    string
	Tags    []string
	Pool    string // its keys serve only the clients of the same pool; empty: the common one
	Source  string // where it was configured: "environment", "file" or "api"
}

// Serves reports whether the key may be used for the model. An unnamed model is served by every key.
func (k *Key) Serves(model string) bool { return model == "" || k.Models.Match(model) }

// Period is a calendar period, in UTC unless a zone is named.
type Period string

// The periods a quota may have. Total never ends.
const (
	Minute Period = "minute"
	Hour   Period = "hour"
	Day    Period = "day"
	Month  Period = "month"
	Total  Period = "total"
)

// Start is when the period that holds t began in UTC; Total began at the zero time.
func (p Period) Start(t time.Time) time.Time { return p.StartIn(t, time.UTC) }

// End is when it ends; the zero time for Total, which never does.
func (p Period) End(t time.Time) time.Time { return p.EndIn(t, time.UTC) }
