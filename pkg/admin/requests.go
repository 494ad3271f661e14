package admin

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"openai-api-proxy/pkg/openai"
	"openai-api-proxy/pkg/state"
)

// requestAnswer is one finished request.
type requestAnswer struct {
	ID          string          `json:"id"`
	At          time.Time       `json:"at"`
	Method      string          `json:"method"`
	Operation   string          `json:"operation"`
	Client      string          `json:"client"`
	ClientIP    string          `json:"clientIp"`
	Key         string          `json:"key"`
	Model       string          `json:"model"`
	Stream      bool            `json:"stream"`
	Status      int             `json:"status"`
	Outcome     string          `json:"outcome"`
	Fault       string          `json:"fault,omitempty"`
	Cause       string          `json:"cause,omitempty"`
	Attempts    []attemptAnswer `json:"attempts"`
	Tokens      tokens          `json:"tokens"`
	TokensBasis openai.Basis    `json:"tokensBasis,omitempty"`
	CostUSD     *json.Number    `json:"costUsd"` // null: not known, or nothing was used
	FirstByteMs float64         `json:"firstByteMs"`
	TotalMs     float64         `json:"totalMs"`
	BytesIn     int64           `json:"bytesIn"`
	BytesOut    int64           `json:"bytesOut"`
	Upstream    string          `json:"upstream,omitempty"`
	Replica     string          `json:"replica"`
	Why         json.RawMessage `json:"why,omitempty"`
	Bodies      *state.Bodies   `json:"bodies,omitempty"`
}

type attemptAnswer struct {
	Key     string  `json:"key"`
	Account string  `json:"account"`
	Outcome string  `json:"outcome"`
	Status  int     `json:"status"`
	TookMs  float64 `json:"tookMs"`
}

func requestOf(r *state.Request) requestAnswer {
	a := requestAnswer{ID: r.ID, At: r.At, Method: r.Method, Operation: r.Operation, Client: r.Client, ClientIP: r.ClientIP,
		Key: r.Key, Model: r.Model, Stream: r.Stream, Status: r.Status, Outcome: r.Outcome, Fault: r.Fault, Cause: r.Cause,
		Attempts: make([]attemptAnswer, 0, len(r.Attempts)), Tokens: tokens{r.Usage.Input, r.Usage.Cached, r.Usage.Output, r.Usage.Reasoning},
		TokensBasis: r.Usage.Basis, FirstByteMs: ms(r.FirstByte), TotalMs: ms(r.Total), BytesIn: r.BytesIn, BytesOut: r.BytesOut,
		Upstream: r.Upstream, Replica: r.Replica, Bodies: r.Bodies}
	if r.Priced {
		cost := dollars(r.Cost)
		a.CostUSD = &cost
	}
	if json.Valid(r.Why) {
		a.Why = r.Why
	}
	for _, t := range r.Attempts {
		a.Attempts = append(a.Attempts, attemptAnswer{t.Key, t.Account, t.Outcome, t.Status, ms(t.Took)})
	}
	return a
}

// requestFilter says which requests are wanted; what is empty lets all through.
type requestFilter struct {
	client, key, model, operation, outcome, replica string
	from, to                                        time.Time
	least                                           time.Duration
	lowest, highest                                 int // status
}

// outcomes are how a request may have ended.
var outcomes = []string{"succeeded", "failed", "left"}

func readRequestFilter(q *query) requestFilter {
	f := requestFilter{client: q.text("client"), key: q.text("key"), model: q.text("model"), operation: q.text("operation"),
		outcome: q.word("outcome", outcomes...), replica: q.text("replica"), from: q.moment("from"), to: q.moment("to"),
		least: time.Duration(q.number("minMs", 0, 0, 1<<40)) * time.Millisecond}
	f.lowest, f.highest = q.status()
	return f
}

// status is a span of statuses: a number, "2xx", "4xx", "5xx", or "error" for all from 400 on.
func (q *query) status() (lowest, highest int) {
	text := q.text("status")
	if text == "" {
		return 0, 999
	}
	if text == "error" {
		return 400, 599
	}
	if len(text) == 3 && text[1:] == "xx" && text[0] >= '1' && text[0] <= '5' {
		lowest = int(text[0]-'0') * 100
		return lowest, lowest + 99
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 100 || n > 599 {
		q.wrong("status", "must be a status such as 429, or 2xx, 4xx, 5xx, or error")
	}
	return n, n
}

func (f *requestFilter) match(r *state.Request) bool {
	return (f.client == "" || f.client == r.Client) &&
		(f.key == "" || f.key == r.Key || f.tried(r)) &&
		(f.model == "" || f.model == r.Model) &&
		(f.operation == "" || f.operation == r.Operation) &&
		(f.outcome == "" || f.outcome == r.Outcome) &&
		(f.replica == "" || f.replica == r.Replica) &&
		(f.from.IsZero() || !r.At.Before(f.from)) &&
		(f.to.IsZero() || r.At.Before(f.to)) &&
		r.Total >= f.least && r.Status >= f.lowest && r.Status <= f.highest
}

// tried reports whether the key was used for any attempt.
func (f *requestFilter) tried(r *state.Request) bool {
	for _, t := range r.Attempts {
		if t.Key == f.key {
			return true
		}
	}
	return false
}

func (a *API) listRequests(c *gin.Context) error {
	q := queryOf(c)
	wanted := readRequestFilter(q)
	ask := state.RequestQuery{After: q.text("after"), Since: q.text("newer"), Match: wanted.match,
		Limit: int(q.number("limit", defaultLimit, 1, mostLimit))}
	if err := q.end(); err != nil {
		return err
	}
	page, err := a.Usage.Requests(c.Request.Context(), ask)
	if err != nil {
		return err
	}
	body := struct {
		Data   []requestAnswer `json:"data"`
		Next   *string         `json:"next"`
		Newest *string         `json:"newest"`
	}{Data: make([]requestAnswer, 0, len(page.Requests)), Next: orNull(page.Next), Newest: orNull(page.Newest)}
	for i := range page.Requests {
		body.Data = append(body.Data, requestOf(&page.Requests[i]))
	}
	return answer(c, http.StatusOK, body)
}

// getRequest looks for one request among all that are remembered.
func (a *API) getRequest(c *gin.Context) error {
	if err := noQuery(c); err != nil {
		return err
	}
	ask := state.RequestQuery{ID: c.Param("id"), Limit: 1}
	for range state.LargestRequests/state.MostScanned + 1 {
		page, err := a.Usage.Requests(c.Request.Context(), ask)
		if err != nil {
			return err
		}
		if len(page.Requests) > 0 {
			return answer(c, http.StatusOK, requestOf(&page.Requests[0]))
		}
		if ask.After = page.Next; ask.After == "" {
			break
		}
	}
	return noSuch("request")
}

func orNull(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}
