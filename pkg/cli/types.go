package cli

import (
	"encoding/json"
	"time"
)

// page is a part of a list. Its items are read later, so that they can be printed as they came.
type page[T any] struct {
	Data   []T     `json:"data"`
	Total  int     `json:"total"`
	Next   *string `json:"next"`
	Newest *string `json:"newest"`
}

type usageSummary struct {
	Requests    int64   `json:"requests"`
	Failures    int64   `json:"failures"`
	SuccessRate float64 `json:"successRate"`
	spending
}

type spending struct {
	CostUSD  json.Number `json:"costUsd"`
	Unpriced int64       `json:"unpriced"`
}

type balance struct {
	Limit json.Number `json:"limit"`
	Left  json.Number `json:"left"`
}

type key struct {
	ID       string        `json:"id"`
	Key      string        `json:"key"` // masked
	Account  string        `json:"account"`
	Weight   int64         `json:"weight"`
	Models   []string      `json:"models"`
	Tags     []string      `json:"tags"`
	Pool     string        `json:"pool"`
	Note     string        `json:"note"`
	Source   string        `json:"source"`
	State    string        `json:"state"`
	Reason   string        `json:"reason"`
	Until    *time.Time    `json:"until"`
	InFlight int64         `json:"inFlight"`
	Balance  *balance      `json:"balance"`
	Usage    *usageSummary `json:"usage"`
}

type client struct {
	ID      string        `json:"id"`
	RPM     int64         `json:"rpm"`
	Burst   int64         `json:"burst"`
	Models  []string      `json:"models"`
	IPs     []string      `json:"ips"`
	Pool    string        `json:"pool"`
	Enabled bool          `json:"enabled"`
	Expires *time.Time    `json:"expires"`
	Source  string        `json:"source"`
	Tokens  []tokenShown  `json:"tokens"`
	Usage   *usageSummary `json:"usage"`
	Token   string        `json:"token"` // in the answer that made it only

	Balances []quotaBalance `json:"balances"` // nil: not known
}

type object struct {
	Family  string    `json:"family"`
	ID      string    `json:"id"`
	Account string    `json:"account"`
	Created time.Time `json:"created"`
}

// quotaBalance is how a quota of a client stands.
type quotaBalance struct {
	Measure string      `json:"measure"`
	Period  string      `json:"period"`
	Limit   json.Number `json:"limit"`
	Left    json.Number `json:"left"`
}

type tokenShown struct {
	Masked string     `json:"masked"`
	Until  *time.Time `json:"until"`
}

type importAnswer struct {
	Created int          `json:"created"`
	Skipped int          `json:"skipped"`
	Failed  int          `json:"failed"`
	Results []importLine `json:"results"`
}

type importLine struct {
	Line   int    `json:"line"`
	ID     string `json:"id"`
	Status string `json:"status"`
	Error  struct {
		Message string `json:"message"`
	} `json:"error"`
}

type testAnswer struct {
	OK      int          `json:"ok"`
	Failed  int          `json:"failed"`
	Results []testedLine `json:"results"`
}

type testedLine struct {
	ID      string  `json:"id"`
	OK      bool    `json:"ok"`
	Outcome string  `json:"outcome"`
	Status  int     `json:"status"`
	Code    string  `json:"code"`
	Error   string  `json:"error"`
	TookMs  float64 `json:"tookMs"`
	State   string  `json:"state"`
}

type tokens struct {
	Input     int64 `json:"input"`
	Cached    int64 `json:"cached"`
	Output    int64 `json:"output"`
	Reasoning int64 `json:"reasoning"`
}

type statsAnswer struct {
	Since   time.Time   `json:"since"`
	Totals  statsLine   `json:"totals"`
	Keys    []statsLine `json:"keys"`
	Clients []statsLine `json:"clients"`
	Models  []statsLine `json:"models"`
}

type statsLine struct {
	ID          string  `json:"id"`
	State       string  `json:"state"`
	Requests    int64   `json:"requests"`
	Failures    int64   `json:"failures"`
	SuccessRate float64 `json:"successRate"`
	LatencyMs   struct {
		P50 float64 `json:"p50"`
		P95 float64 `json:"p95"`
		P99 float64 `json:"p99"`
	} `json:"latencyMs"`
	Tokens tokens `json:"tokens"`
	spending
	Quota *balance `json:"quota"`
}

type usageAnswer struct {
	Series []struct {
		ID     string       `json:"id"`
		Totals usageAmounts `json:"totals"`
		Points []usagePoint `json:"points"`
	} `json:"series"`
}

type usagePoint struct {
	At time.Time `json:"at"`
	usageAmounts
}

type usageAmounts struct {
	Requests  int64   `json:"requests"`
	Successes int64   `json:"successes"`
	Failures  int64   `json:"failures"`
	LatencyMs float64 `json:"latencyMs"`
	Tokens    tokens  `json:"tokens"`
	spending
}

type request struct {
	ID        string    `json:"id"`
	At        time.Time `json:"at"`
	Operation string    `json:"operation"`
	Client    string    `json:"client"`
	Key       string    `json:"key"`
	Model     string    `json:"model"`
	Status    int       `json:"status"`
	Fault     string    `json:"fault"`
	Attempts  []struct {
		Key     string `json:"key"`
		Outcome string `json:"outcome"`
	} `json:"attempts"`
	Tokens  tokens      `json:"tokens"`
	CostUSD json.Number `json:"costUsd"` // empty: not known
	TotalMs float64     `json:"totalMs"`
	Replica string      `json:"replica"`
}

type settingsAnswer struct {
	Auth struct {
		Mode      string `json:"mode"` // keys or clients
		Permanent bool   `json:"permanent"`
	} `json:"auth"`
	Settings []setting `json:"settings"`
	Fixed    []setting `json:"fixed"`
}

type setting struct {
	Name   string          `json:"name"`
	Value  json.RawMessage `json:"value"`
	Source string          `json:"source"`
}

type replicasAnswer struct {
	Self string    `json:"self"`
	Data []replica `json:"data"`
}

type replica struct {
	ID      string    `json:"id"`
	Host    string    `json:"host"`
	Address string    `json:"address"`
	Version string    `json:"version"`
	Started time.Time `json:"started"`
	Config  struct {
		Fingerprint string `json:"fingerprint"`
		Version     int64  `json:"version"`
		Error       string `json:"error"`
	} `json:"config"`
	Ready   bool  `json:"ready"`
	Serving int64 `json:"serving"`
}

type refreshAnswer struct {
	Replicas []struct {
		ID          string `json:"id"`
		Fingerprint string `json:"fingerprint"`
		OK          bool   `json:"ok"`
		Error       string `json:"error"`
	} `json:"replicas"`
}

type alertsAnswer struct {
	Webhook bool `json:"webhook"`
	Data    []struct {
		At      time.Time `json:"at"`
		Event   string    `json:"event"`
		Text    string    `json:"text"`
		Replica string    `json:"replica"`
	} `json:"data"`
}

type testedWebhook struct {
	Delivered bool    `json:"delivered"`
	TookMs    float64 `json:"tookMs"`
	Error     string  `json:"error"`
}

type note struct {
	At      time.Time `json:"at"`
	Actor   string    `json:"actor"`
	Address string    `json:"address"`
	Action  string    `json:"action"`
	Subject string    `json:"subject"`
	Detail  string    `json:"detail"`
	Replica string    `json:"replica"`
}
