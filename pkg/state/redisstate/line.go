package redisstate

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"openai-api-proxy/pkg/state"
)

const (
	// mostTrips is how many trips of a line are on their way at once. Whoever comes when there are fewer goes at once.
	mostTrips = 1
	// mostTogether bounds the asks of one trip.
	mostTogether = 512
)

// line is where spendings wait for a trip to Redis. One that comes when none is on its way goes at once, by itself. Those that
// come meanwhile go together when it is back: a trip costs as much as the whole rest of a request, and costs it once for all that
// take part. There is no timer and no goroutine: one of those that wait carries the others. It is the youngest, which can wait
// for longest.
type line struct {
	budget time.Duration
	carry  func(ctx context.Context, asks []*ask) // one trip; every ask has its verdict or error after it

	mu      sync.Mutex // guards both
	trips   int        // on their way
	waiting []*ask     // in the order in which they came
}

// ask is one call of Spend.
type ask struct {
	subject, reservation string
	charges              []state.Charge

	verdict state.Verdict
	err     error
	turn    chan turn // nil: it did not wait. Capacity 1
}

// turn is what an ask that waits is told.
type turn int

const (
	answered turn = iota
	lead          // go, and take with you whoever waits
)

func newLine(budget time.Duration, carry func(context.Context, []*ask)) *line {
	return &line{budget: budget, carry: carry}
}

// spend has the ask carried. It returns no later than the budget, and when the caller leaves before the ask is on its way.
func (l *line) spend(ctx context.Context, a *ask) (state.Verdict, error) {
	if err := ctx.Err(); err != nil {
		return state.Verdict{}, unsent(err)
	}
	if l.mu.Lock(); l.trips < mostTrips {
		l.trips++
		l.mu.Unlock()
		l.trip(ctx, []*ask{a})
		return a.verdict, a.err
	}
	a.turn = make(chan turn, 1)
	l.waiting = append(l.waiting, a)
	l.mu.Unlock()
	patience := time.NewTimer(l.budget)
	defer patience.Stop()
	select {
	case told := <-a.turn:
		return l.take(ctx, a, told)
	case <-ctx.Done():
		return l.leave(a, ctx.Err())
	case <-patience.C:
		return l.leave(a, context.DeadlineExceeded)
	}
}

// take does what the ask was told.
func (l *line) take(ctx context.Context, a *ask, told turn) (state.Verdict, error) {
	if told == lead {
		l.mu.Lock()
		n := min(len(l.waiting), mostTogether-1)
		all := append(l.waiting[:n:n], a)
		l.waiting = slices.Clone(l.waiting[n:])
		l.mu.Unlock()
		l.trip(ctx, all)
	}
	return a.verdict, a.err
}

// leave gives up the wait. Of an ask that is on its way nobody knows then what becomes of it.
func (l *line) leave(a *ask, why error) (state.Verdict, error) {
	l.mu.Lock()
	if i := slices.Index(l.waiting, a); i >= 0 {
		l.waiting = slices.Delete(l.waiting, i, i+1)
		l.mu.Unlock()
		return state.Verdict{}, unsent(why)
	}
	l.mu.Unlock()
	select {
	case told := <-a.turn:
		if told == lead {
			l.next()
			return state.Verdict{}, unsent(why)
		}
		return a.verdict, a.err
	default:
		return state.Verdict{}, unavailable(why)
	}
}

// trip carries the asks, the last of which is the caller's. It outlives the caller, on whom the others do not depend.
func (l *line) trip(ctx context.Context, all []*ask) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.budget)
	defer func() {
		cancel()
		for _, a := range all[:len(all)-1] {
			a.turn <- answered
		}
		l.next()
	}()
	l.carry(ctx, all)
}

// next lets somebody lead the next trip, if anybody waits.
func (l *line) next() {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(l.waiting) - 1
	if n < 0 {
		l.trips--
		return
	}
	a := l.waiting[n]
	l.waiting = l.waiting[:n]
	a.turn <- lead
}

func unsent(err error) error { return fmt.Errorf("%w: %w", state.ErrUnsent, err) }
