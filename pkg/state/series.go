package state

import (
	"context"
	"errors"
	"time"
)

// History is the part of a Store that remembers what happened when: series of usage, and the latest requests.
type History interface {
	// Count adds a batch: to the totals, to the series of the minute, hour and day that hold its time, and its requests to
	// the latest ones.
	//
	// Of a batch without a Source an error means that nothing of it was taken in; without one it is the store's to deliver,
	// once. A batch with a Source is its sender's to deliver: the same batch is sent again, under its number and before any
	// other of its source, until there is no error, by the next process if need be. It is added once.
	Count(ctx context.Context, b Batch) error

	// Counted is the number of the source's last batch that will not be lost if this process is killed now; 0 if this store
	// knows of none. It waits for nothing.
	Counted(source string) int64

	// Totals returns the usage totals, and since when they are counted.
	Totals(ctx context.Context) (Totals, error)

	// Series returns what the steps that begin within [From, To) hold, oldest first, and by id within a step; steps in
	// which nothing happened are left out. What is older than Step.Kept is gone. ErrTooMuch means that there are more than
	// MostFound points.
	Series(ctx context.Context, q SeriesQuery) ([]Point, error)

	// Requests returns the latest requests, newest first: in the order in which they were taken in, which is about that of
	// their ends. One call looks at no more than MostScanned of them. ErrPosition means that After or Since is none.
	Requests(ctx context.Context, q RequestQuery) (Page, error)
}

// ErrTooMuch means that a query finds more than can be answered.
var ErrTooMuch = errors.New("too many points: ask for a shorter span, a longer step or one id")

// Batch is what was used since the batch before.
type Batch struct {
	At     time.Time // names its minute, hour and day, in UTC; a time that the caller's clock says
	Totals []Usage
	// Series is the same usage once more, by what series are kept for: Kinds. Latencies are not kept there; see Counts.Time.
	Series   []Usage
	Requests [][]byte // oldest first, each as Pack gives it

	// Source and Number name the batch, so that it can be sent twice; see Count. Numbers of a source begin at 1 and only
	// grow. They are remembered for a week, or of the latest SourcesKept sources. An empty Source names nothing.
	Source string
	Number int64
}

const (
	// SourceLife is how long the number of a source's last batch is remembered after it came.
	SourceLife = 7 * 24 * time.Hour
	// SourcesKept is of how many sources an embedded state remembers it. Each start of a process is one.
	SourcesKept = 1000
)

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

// Start is when the step that holds t began.
func (s Step) Start(t time.Time) time.Time { return t.UTC().Truncate(s.Length()) }

const (
	// MostSeries bounds the series of one step, of all kinds together; what comes beyond it is counted for OtherSeries of
	// its kind.
	MostSeries = 10_000
	// OtherSeries is the id under which usage is counted that has no series of its own.
	OtherSeries = "other"
	// MostPoints bounds the steps that one query may span.
	MostPoints = 1500
	// MostFound bounds the points of one answer, of all ids together.
	MostFound = 50_000
)

// SeriesQuery asks for the series of a kind.
type SeriesQuery struct {
	Step     Step
	From, To time.Time
	Kind     Kind
	ID       string // of one series; empty: all of the kind
}

// Starts are the beginnings of the steps that it asks for and that may be there still, oldest first; of more than MostPoints
// the latest.
func (q SeriesQuery) Starts(now time.Time) []time.Time {
	length := q.Step.Length()
	from, to := q.Step.Start(q.From), q.To.UTC()
	if from.Before(q.From) {
		from = from.Add(length)
	}
	if end := now.Add(length); to.After(end) { // clocks differ, but not by more than that
		to = end
	}
	for _, earliest := range []time.Time{now.Add(-q.Step.Kept()), to.Add(-MostPoints * length)} {
		if from.Before(earliest) {
			from = q.Step.Start(earliest.Add(length - 1))
		}
	}
	var starts []time.Time
	for at := from; at.Before(to); at = at.Add(length) {
		starts = append(starts, at)
	}
	return starts
}

// Point is what was used in one step.
type Point struct {
	At time.Time // when the step began
	Usage
}
