package admin

import (
	"cmp"
	"net/http"
	"slices"
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

// mostTop bounds how many of a kind can be asked for.
const mostTop = 10_000

func (a *API) stats(c *gin.Context) error {
	q := queryOf(c)
	top := int(q.number("top", 0, 1, mostTop))
	if err := q.end(); err != nil {
		return err
	}
	totals, err := a.Usage.Totals(c.Request.Context())
	if err != nil {
		return err
	}
	body := statsAnswer{Since: totals.Since, Clients: []namedStats{}, Models: []namedStats{}, Totals: summarize(&state.Counts{})}
	byKey := make(map[string]*state.Counts, len(totals.Usage))
	for i := range totals.Usage {
		switch u := &totals.Usage[i]; u.Kind {
		case state.OfAll:
			body.Totals = summarize(&u.Counts)
		case state.OfClient:
			body.Clients = append(body.Clients, namedStats{u.ID, summarize(&u.Counts)})
		case state.OfModel:
			body.Models = append(body.Models, namedStats{u.ID, summarize(&u.Counts)})
		case state.OfKey:
			byKey[u.ID] = &u.Counts
		}
	}
	body.Clients, body.Models = most(body.Clients, top, namedStats.requests), most(body.Models, top, namedStats.requests)
	body.Keys = keyed(most(a.Keys.States(), top, func(s balancer.KeyState) int64 {
		if n := byKey[s.Key.ID]; n != nil {
			return n.Requests
		}
		return 0
	}), byKey)
	return answer(c, http.StatusOK, body)
}

func (s namedStats) requests() int64 { return s.Requests }

// most is the top of them, those with the most first; 0: all, as they are.
func most[T any](all []T, top int, of func(T) int64) []T {
	if top == 0 {
		return all
	}
	type ranked struct {
		n  int64
		at int
	}
	order := make([]ranked, len(all)) // large things are not moved to sort them
	for i := range all {
		order[i] = ranked{of(all[i]), i}
	}
	slices.SortFunc(order, func(a, b ranked) int { return cmp.Or(cmp.Compare(b.n, a.n), cmp.Compare(a.at, b.at)) })
	first := make([]T, 0, min(top, len(all)))
	for _, r := range order[:cap(first)] {
		first = append(first, all[r.at])
	}
	return first
}

// keyed joins what the keys used with how they are. Keys that are configured no more are left out.
func keyed(states []balancer.KeyState, counts map[string]*state.Counts) []keyStats {
	keys := make([]keyStats, 0, len(states))
	for i := range states {
		s := &states[i]
		n := counts[s.Key.ID]
		if n == nil {
			n = new(state.Counts)
		}
		k := keyStats{ID: s.Key.ID, State: s.State, Until: instant(s.Until), InFlight: s.InFlight, summary: summarize(n)}
		k.Quota = balanceOf(s)
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

func summarize(n *state.Counts) summary {
	return summary{Requests: n.Requests, Successes: n.Successes, Failures: n.Failures, SuccessRate: rate(n),
		LatencyMs: latency{P50: ms(n.Percentile(.5)), P95: ms(n.Percentile(.95)), P99: ms(n.Percentile(.99))},
		Tokens:    tokens{n.Input, n.Cached, n.Output, n.Reasoning}}
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
