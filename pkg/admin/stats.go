package admin

import (
	"cmp"
	"encoding/json"
	"slices"
	"time"

	"github.com/gin-gonic/gin"

	"openai-api-proxy/pkg/balancer"
	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
)

// stats is the body of GET /api/stats before it is written.
type stats struct {
	totals          summary
	clients, models []namedStats
	byKey           map[string]*state.Counts
}

type summary struct {
	Requests    int64   `json:"requests"`
	Successes   int64   `json:"successes"`
	Failures    int64   `json:"failures"`
	SuccessRate float64 `json:"successRate"` // of those that succeeded or failed; 1 when there were none
	LatencyMs   latency `json:"latencyMs"`
	Tokens      tokens  `json:"tokens"`
	spending
	Quota *quota `json:"quota,omitempty"`
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

// spending is what was paid, as far as prices are known.
type spending struct {
	CostUSD  json.Number `json:"costUsd"`  // exact; see proxy.DollarText
	Unpriced int64       `json:"unpriced"` // requests whose cost is not known, and so not in CostUSD
}

func spendingOf(n *state.Counts) spending { return spending{dollars(n.Cost), n.Unpriced} }

func dollars(nanoUSD int64) json.Number { return json.Number(proxy.DollarText(nanoUSD)) }

type quota struct {
	Limit    json.Number   `json:"limit"` // money in dollars
	Used     json.Number   `json:"used"`
	Left     json.Number   `json:"left"`
	ResetsAt *time.Time    `json:"resetsAt"`
	Measure  proxy.Measure `json:"measure"`
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
	Limits []limitAnswer `json:"limits,omitempty"`
}

// mostTop bounds how many of a kind can be asked for.
const mostTop = 10_000

func (a *API) getStats(c *gin.Context) error {
	q := queryOf(c)
	top := int(q.number("top", 0, 1, mostTop))
	if err := q.end(); err != nil {
		return err
	}
	totals, err := a.Usage.Totals(c.Request.Context())
	if err != nil {
		return err
	}
	sums := sorted(&totals)
	keys := most(a.Keys.States(), top, func(s balancer.KeyState) int64 { return sums.of(s.Key.ID).Requests })
	out := begin(c)
	out.text(`{"since":`)
	out.value(totals.Since)
	out.text(`,"totals":`)
	out.value(sums.totals)
	out.text(`,"keys":`) // those that are configured no more are left out
	out.list(len(keys), func(i int) any { return keyed(&keys[i], sums.of(keys[i].Key.ID)) })
	out.text(`,"clients":`)
	out.value(most(sums.clients, top, namedStats.requests))
	out.text(`,"models":`)
	out.value(most(sums.models, top, namedStats.requests))
	out.text("}")
	out.end()
	return nil
}

// sorted puts the totals where they are told. Those of clients and models are in the order of their names.
func sorted(totals *state.Totals) stats {
	s := stats{totals: summarize(&state.Counts{}), clients: []namedStats{}, models: []namedStats{},
		byKey: make(map[string]*state.Counts, len(totals.Usage))}
	for i := range totals.Usage {
		switch u := &totals.Usage[i]; u.Kind {
		case state.OfAll:
			s.totals = summarize(&u.Counts)
		case state.OfClient:
			s.clients = append(s.clients, namedStats{u.ID, summarize(&u.Counts)})
		case state.OfModel:
			s.models = append(s.models, namedStats{u.ID, summarize(&u.Counts)})
		case state.OfKey:
			s.byKey[u.ID] = &u.Counts
		}
	}
	for _, named := range [2][]namedStats{s.clients, s.models} {
		slices.SortFunc(named, func(a, b namedStats) int { return cmp.Compare(a.ID, b.ID) })
	}
	return s
}

// of is what a key used.
func (s *stats) of(id string) *state.Counts {
	if n := s.byKey[id]; n != nil {
		return n
	}
	return new(state.Counts)
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

// keyed joins what a key used with how it is.
func keyed(s *balancer.KeyState, n *state.Counts) *keyStats {
	k := &keyStats{ID: s.Key.ID, State: s.State, Until: instant(s.Until), InFlight: s.InFlight, summary: summarize(n)}
	k.Quota, k.Limits = balanceOf(s), limitsOf(s)
	return k
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
		Tokens:    tokens{n.Input, n.Cached, n.Output, n.Reasoning}, spending: spendingOf(n)}
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
