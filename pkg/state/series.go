package state

import (
	"context"
	"time"

	"openai-api-proxy/pkg/openai"
)

// History is the part of a Store that remembers what happened when: series of usage, and the latest requests.
type History interface {
	// Count adds a batch: to the totals, to the series of the minute, hour and day that hold its time, and its requests to
	// the latest ones. It is taken in whole or not at all.
	Count(ctx context.Context, b Batch) error

	// Totals returns the usage totals, and since when they are counted.
	Totals(ctx context.Context) (Totals, error)

	// Series returns what the steps that begin within [From, To) hold, oldest first; steps in which nothing happened are
	// left out. What is older than Step.Kept is gone.
	Series(ctx context.Context, q SeriesQuery) ([]Point, error)

	// Requests returns the latest requests, newest first, and where to go on; an empty next means that there are no more.
	Requests(ctx context.Context, q RequestQuery) (found []Request, next string, err error)
}

// Batch is what was used since the batch before.
type Batch struct {
	At     time.Time // names its minute, hour and day, in UTC
	Totals []Usage
	// Series is the same usage once more, by what series are kept for: everything, and each key, client, model, and client
	// with model. Latency buckets are not kept there; see Counts.Time.
	Series   []Usage
	Requests []Request
}

// OfPair is usage of one client with one model; its ID is Pair. It is kept in series only.
const OfPair Kind = "client-model"

// Pair is the ID of a client with a model. Clients have no slash in their names.
func Pair(client, model string) string { return client + "/" + model }

// Step is how long one point of a series is.
type Step string

// The steps.
const (
	ByMinute Step = "minute"
	ByHour   Step = "hour"
	ByDay    Step = "day" // in UTC
)

// Steps are all there are.
var Steps = [3]Step{ByMinute, ByHour, ByDay}

// Length is how long a step is.
func (s Step) Length() time.Duration {
	switch s {
	case ByMinute:
		return time.Minute
	case ByHour:
		return time.Hour
	default:
		return 24 * time.Hour
	}
}

// Kept is how long its points are kept.
func (s Step) Kept() time.Duration {
	switch s {
	case ByMinute:
		return 48 * time.Hour
	case ByHour:
		return 35 * 24 * time.Hour
	default:
		return 400 * 24 * time.Hour
	}
}

const (
	// MostSeries bounds the series of one step; what comes beyond it is counted for OtherSeries of its kind.
	MostSeries = 10_000
	// OtherSeries is the id under which usage is counted that has no series of its own.
	OtherSeries = "other"
	// MostPoints bounds the steps that one query may span.
	MostPoints = 1500
)

// SeriesQuery asks for the series of a kind.
type SeriesQuery struct {
	Step     Step
	From, To time.Time
	Kind     Kind
	ID       string // of one series; empty: all of the kind
}

// Point is what was used in one step.
type Point struct {
	At time.Time // when the step began
	Usage
}

// MostRequests is about how many requests are remembered.
const MostRequests = 1_000_000

// RequestsKept is how long they are remembered.
const RequestsKept = 7 * 24 * time.Hour

// Request is one finished request, as it is remembered. It holds nothing of what was asked or answered, unless the
// operator wants it to; see Bodies.
type Request struct {
	ID        string        `json:"id"`
	At        time.Time     `json:"at"` // when it began
	Method    string        `json:"method"`
	Operation string        `json:"operation"`
	Client    string        `json:"client,omitempty"`
	ClientIP  string        `json:"clientIp,omitempty"`
	Key       string        `json:"key,omitempty"`
	Model     string        `json:"model,omitempty"`
	Stream    bool          `json:"stream,omitempty"`
	Status    int           `json:"status"`
	Outcome   string        `json:"outcome"` // succeeded, failed or left
	Fault     string        `json:"fault,omitempty"`
	Cause     string        `json:"cause,omitempty"`
	Attempts  []Tried       `json:"attempts,omitempty"`
	Usage     openai.Usage  `json:"usage"`
	FirstByte time.Duration `json:"firstByte,omitempty"` // ns
	Total     time.Duration `json:"total"`               // ns
	BytesIn   int64         `json:"bytesIn,omitempty"`
	BytesOut  int64         `json:"bytesOut,omitempty"`
	Upstream  string        `json:"upstream,omitempty"` // the upstream's own request id
	Replica   string        `json:"replica,omitempty"`
	Why       []byte        `json:"why,omitempty"`    // JSON: how keys were chosen, when an operator asked
	Bodies    *Bodies       `json:"bodies,omitempty"` // only with REQUEST_LOG_BODIES
}

// Tried is one attempt of a request.
type Tried struct {
	Key     string        `json:"key"`
	Account string        `json:"account"`
	Outcome string        `json:"outcome"`
	Status  int           `json:"status,omitempty"`
	Took    time.Duration `json:"took"` // ns
}

// Bodies are the beginnings of what was asked and answered, with secrets masked.
type Bodies struct {
	Request  string `json:"request,omitempty"`
	Response string `json:"response,omitempty"`
	Cut      bool   `json:"cut,omitempty"` // there was more of either
}

// RequestQuery asks for requests.
type RequestQuery struct {
	After string              // where the answer before ended; empty: from the newest
	Limit int                 // at most so many
	Match func(*Request) bool // nil: all
}
