package admin

import (
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"openai-api-proxy/pkg/balancer"
	"openai-api-proxy/pkg/state"
)

// statsAnswer is the body of GET /api/stats.
type statsAnswer struct {
	Since   time.Time    `json:"since"`
	Totals  summary      `json:"totals"`
	Keys    []keyStats   `json:"keys"`
	Clients []namedStats `json:"clients"`
	Models  []namedStats `json:"models"`
}

type summary struct {
	Requests    int64   `json:"requests"`
	Successes   int64   `json:"successes"`
	Failures    int64   `json:"failures"`
	SuccessRate float64 `json:"successRate"` // of those that succeeded or failed; 1 when there were none
	LatencyMs   latency `json:"latencyMs"`
	Tokens      tokens  `json:"tokens"`
	Quota       *quota  `json:"quota,omitempty"`
}

// latency has percentiles that are at most 25 % too high; see state.LatencyBound.
type latency struct {
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
	P99 float64 `json:"p99"`
}

type tokens struct {
	Input     int64 `json:"input"`
	Cached    int64 `json:"cached"`
	Output    int64 `json:"output"`
	Reasoning int64 `json:"reasoning"`
}

type quota struct {
	Limit    int64      `json:"limit"`
	Used     int64      `json:"used"`
	Left     int64      `json:"left"`
	ResetsAt *time.Time `json:"resetsAt"`
}

type namedStats struct {
	ID string `json:"id"`
	summary
}

type keyStats struct {
	ID       string     `json:"id"`
	State    string     `json:"state"`
	Until    *time.Time `json:"until,omitempty"`
	InFlight int64      `json:"inFlight"`
	summary
}

func (o Options) stats(c *gin.Context) {
	totals, err := o.Usage.Totals(c.Request.Context())
	if err != nil {
		o.Fail(c, err)
		return
	}
	a := statsAnswer{Since: totals.Since, Clients: []namedStats{}, Models: []namedStats{}, Totals: summarize(state.Counts{})}
	byKey := map[string]state.Counts{}
	for _, u := range totals.Usage {
		switch u.Kind {
		case state.OfAll:
			a.Totals = summarize(u.Counts)
		case state.OfClient:
			a.Clients = append(a.Clients, namedStats{u.ID, summarize(u.Counts)})
		case state.OfModel:
			a.Models = append(a.Models, namedStats{u.ID, summarize(u.Counts)})
		case state.OfKey:
			byKey[u.ID] = u.Counts
		}
	}
	a.Keys = keyed(o.Keys.States(), byKey)
	c.JSON(http.StatusOK, a)
}

// keyed joins what the keys used with how they are. Keys that are configured no more are left out.
func keyed(states []balancer.KeyState, counts map[string]state.Counts) []keyStats {
	keys := make([]keyStats, 0, len(states))
	for _, s := range states {
		k := keyStats{ID: s.Key.ID, State: s.State, Until: instant(s.Until), InFlight: s.InFlight,
			summary: summarize(counts[s.Key.ID])}
		if s.QuotaLimit > 0 {
			k.Quota = &quota{Limit: s.QuotaLimit, Used: s.QuotaUsed, Left: max(s.QuotaLimit-s.QuotaUsed, 0),
				ResetsAt: instant(s.QuotaResets)}
		}
		keys = append(keys, k)
	}
	return keys
}

func instant(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func summarize(n state.Counts) summary {
	s := summary{Requests: n.Requests, Successes: n.Successes, Failures: n.Failures, SuccessRate: 1,
		LatencyMs: latency{P50: ms(n.Percentile(.5)), P95: ms(n.Percentile(.95)), P99: ms(n.Percentile(.99))},
		Tokens:    tokens{n.Input, n.Cached, n.Output, n.Reasoning}}
	if done := n.Successes + n.Failures; done > 0 {
		s.SuccessRate = float64(n.Successes) / float64(done)
	}
	return s
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
