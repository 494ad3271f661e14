package admin

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"openai-api-proxy/pkg/state"
)

const (
	// usualSteps is how many steps are shown when nobody says from when.
	usualSteps = 60
	// usualTop and mostSeries bound the series of one answer.
	usualTop   = 20
	mostSeries = 1000
)

// usageAnswer is the body of GET /api/usage.
type usageAnswer struct {
	Step   state.Step     `json:"step"`
	From   time.Time      `json:"from"`
	To     time.Time      `json:"to"`
	By     state.Kind     `json:"by"`
	Series []seriesAnswer `json:"series"`
}

// seriesAnswer is what one id used; client and model are set where the series is of those.
type seriesAnswer struct {
	ID     string        `json:"id"`
	Client string        `json:"client,omitempty"`
	Model  string        `json:"model,omitempty"`
	Totals amounts       `json:"totals"`
	Points []pointAnswer `json:"points"`
}

// amounts are what was used in a span. Series keep no distribution of latencies, only their mean.
type amounts struct {
	Requests    int64   `json:"requests"`
	Successes   int64   `json:"successes"`
	Failures    int64   `json:"failures"`
	SuccessRate float64 `json:"successRate"`
	LatencyMs   float64 `json:"latencyMs"`
	Tokens      tokens  `json:"tokens"`
	spending
}

type pointAnswer struct {
	At time.Time `json:"at"`
	amounts
}

func amountsOf(n *state.Counts) amounts {
	a := amounts{Requests: n.Requests, Successes: n.Successes, Failures: n.Failures, SuccessRate: rate(n),
		Tokens: tokens{n.Input, n.Cached, n.Output, n.Reasoning}, spending: spendingOf(n)}
	if n.Requests > 0 {
		a.LatencyMs = float64(n.Time) / float64(n.Requests)
	}
	return a
}

func (a *API) usage(c *gin.Context) error {
	q := queryOf(c)
	wanted, top := readSeries(q)
	if err := q.end(); err != nil {
		return err
	}
	points, err := a.Usage.Series(c.Request.Context(), wanted)
	if err != nil {
		return err
	}
	body := usageAnswer{Step: wanted.Step, From: wanted.From, To: wanted.To, By: wanted.Kind, Series: []seriesAnswer{}}
	for _, s := range topSeries(seriesOf(points), top) {
		body.Series = append(body.Series, s.answer(wanted.Kind))
	}
	return answer(c, http.StatusOK, body)
}

// readSeries reads what is asked for. Without from and to it is the latest steps, the present one among them.
func readSeries(q *query) (wanted state.SeriesQuery, top int) {
	step := state.Step(cmp.Or(q.word("step", string(state.ByMinute), string(state.ByHour), string(state.ByDay)), string(state.ByMinute)))
	wanted = state.SeriesQuery{Step: step, From: q.moment("from"), To: q.moment("to"), ID: q.text("id")}
	by := q.word("by", string(state.OfAll), string(state.OfKey), string(state.OfClient), string(state.OfModel), string(state.OfPair))
	wanted.Kind = state.Kind(cmp.Or(by, string(state.OfAll)))
	top = int(q.number("top", usualTop, 1, mostSeries))
	if wanted.To.IsZero() {
		wanted.To = step.Start(time.Now()).Add(step.Length())
	}
	if wanted.From.IsZero() {
		wanted.From = wanted.To.Add(-usualSteps * step.Length())
	}
	switch span := wanted.To.Sub(wanted.From); {
	case span <= 0:
		q.wrong("from", "must be before to")
	case span > state.MostPoints*step.Length():
		q.wrong("from", "is too early: at most 1500 steps are answered; take a longer step")
	}
	if wanted.Kind == state.OfAll && wanted.ID != "" {
		q.wrong("id", "goes with by=key, client, model or client-model")
	}
	return wanted, top
}

// series are the points of one id.
type series struct {
	id    string
	total state.Counts
	at    []time.Time
	steps []state.Counts
}

func (s *series) add(at time.Time, n state.Counts) {
	s.total.Plus(n)
	if last := len(s.at) - 1; last >= 0 && s.at[last].Equal(at) {
		s.steps[last].Plus(n)
		return
	}
	s.at, s.steps = append(s.at, at), append(s.steps, n)
}

func (s *series) answer(kind state.Kind) seriesAnswer {
	a := seriesAnswer{ID: s.id, Totals: amountsOf(&s.total), Points: make([]pointAnswer, 0, len(s.at))}
	switch kind {
	case state.OfClient:
		a.Client = s.id
	case state.OfModel:
		a.Model = s.id
	case state.OfPair:
		a.Client, a.Model, _ = strings.Cut(s.id, "/")
	}
	for i, at := range s.at {
		a.Points = append(a.Points, pointAnswer{at, amountsOf(&s.steps[i])})
	}
	return a
}

// seriesOf sorts points into series.
func seriesOf(points []state.Point) []*series {
	var all []*series
	byID := map[string]*series{}
	for _, p := range points {
		s := byID[p.ID]
		if s == nil {
			s = &series{id: p.ID}
			byID[p.ID], all = s, append(all, s)
		}
		s.add(p.At, p.Counts)
	}
	return all
}

// topSeries keeps those with the most requests and adds up the rest, with what has no series of its own, as other.
func topSeries(all []*series, top int) []*series {
	slices.SortFunc(all, func(a, b *series) int {
		return cmp.Or(compareBool(a.id == state.OtherSeries, b.id == state.OtherSeries),
			cmp.Compare(b.total.Requests, a.total.Requests), strings.Compare(a.id, b.id))
	})
	named := len(all)
	if named > 0 && all[named-1].id == state.OtherSeries {
		named--
	}
	kept := min(named, top)
	if kept == len(all) {
		return all
	}
	return append(all[:kept:kept], sum(all[kept:]))
}

// sum adds series up, step by step.
func sum(all []*series) *series {
	steps := map[time.Time]*state.Counts{}
	for _, s := range all {
		for i, at := range s.at {
			if steps[at] == nil {
				steps[at] = new(state.Counts)
			}
			steps[at].Plus(s.steps[i])
		}
	}
	rest := &series{id: state.OtherSeries}
	for at := range steps {
		rest.at = append(rest.at, at)
	}
	slices.SortFunc(rest.at, time.Time.Compare)
	for _, at := range rest.at {
		rest.total.Plus(*steps[at])
		rest.steps = append(rest.steps, *steps[at])
	}
	return rest
}

// compareBool puts what is false first.
func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	default:
		return -1
	}
}
