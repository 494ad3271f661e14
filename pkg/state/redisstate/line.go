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
	// mostTogether bounds the asks of one trip.
	mostTogether = 512
	// overdue is how long a trip may take until another one sets out beside it. One packet that is lost would otherwise hold up
	// every client of the replica until the trip is given up.
	overdue = 25 * time.Millisecond
	// mostTrips bounds the trips of a line that are on their way at once.
	mostTrips = 8
)

// line is where spendings wait for a trip to Redis. One that comes when none is on its way goes at once, by itself. Those that
// come meanwhile go together when it is back: a trip costs as much as a third of a request, and costs it once for all that take
// part. At a low rate nobody waits: one of those that wait carries the others. It is the youngest,
// which can wait for longest. A second trip at once makes both emptier, and saves nobody anything.
type line struct {
	carry func(ctx context.Context, asks []*ask) // one trip; every ask has its verdict or error after it

	mu      sync.Mutex // guards both
	trips   int        // on their way
	waiting []*ask     // in the order in which they came
}

// ask is one call of Spend.
type ask struct {
	subject, reservation string
	charges              []state.Charge
	until                time.Time // the caller waits no longer

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

// spend has the ask carried. A caller who leaves waits no longer, unless it carries the others.
func (l *line) spend(ctx context.Context, a *ask) (state.Verdict, error) {
	if err := ctx.Err(); err != nil {
		return state.Verdict{}, unsent(err)
	}
	if l.mu.Lock(); l.trips == 0 {
		l.trips++
		l.mu.Unlock()
		l.trip(ctx, a, []*ask{a})
		return a.verdict, a.err
	}
	a.turn = make(chan turn, 1)
	l.waiting = append(l.waiting, a)
	l.mu.Unlock()
	return l.wait(ctx, a)
}

func (l *line) wait(ctx context.Context, a *ask) (state.Verdict, error) {
	patience := time.NewTimer(min(overdue, time.Until(a.until)))
	defer patience.Stop()
	for {
		select {
		case told := <-a.turn:
			if told == lead {
				l.lead(ctx, a, mostTogether)
			}
			return a.verdict, a.err
		case <-ctx.Done():
			return l.leave(a, ctx.Err())
		case now := <-patience.C:
			if !now.Before(a.until) {
				return l.leave(a, context.DeadlineExceeded)
			}
			if at, ok := l.overtake(a); ok {
				l.lead(ctx, a, at)
				return a.verdict, a.err
			}
			patience.Reset(time.Until(a.until))
		}
	}
}

// lead carries the ask and those that wait, before which so many have come.
func (l *line) lead(ctx context.Context, a *ask, at int) {
	l.mu.Lock()
	n := min(len(l.waiting), mostTogether-1)
	all := slices.Insert(slices.Clone(l.waiting[:n]), min(at, n), a)
	l.waiting = slices.Delete(l.waiting, 0, n)
	l.mu.Unlock()
	l.trip(ctx, a, all)
}

// overtake lets an ask that has waited for too long lead a trip of its own, and says how many that wait have come before it.
func (l *line) overtake(a *ask) (at int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at = slices.Index(l.waiting, a)
	if at < 0 || l.trips >= mostTrips {
		return at, false
	}
	l.waiting = slices.Delete(l.waiting, at, at+1)
	l.trips++
	return at, true
}

// leave gives up the wait. Of an ask that is on its way nobody knows then what becomes of it.
func (l *line) leave(a *ask, why error) (state.Verdict, error) {
	l.mu.Lock()
	at := slices.Index(l.waiting, a)
	if at >= 0 {
		l.waiting = slices.Delete(l.waiting, at, at+1)
	}
	l.mu.Unlock()
	if at >= 0 {
		return state.Verdict{}, unsent(why)
	}
	select {
	case told := <-a.turn:
		if told == answered {
			return a.verdict, a.err
		}
		l.next(false)
		return state.Verdict{}, unsent(why)
	default:
		return state.Verdict{}, unavailable(why)
	}
}

// trip carries all asks, the leader's among them. It outlives the leader's caller, on whom the others do not depend.
func (l *line) trip(ctx context.Context, leader *ask, all []*ask) {
	begin := time.Now()
	ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), leader.until)
	defer func() {
		cancel()
		for _, a := range all {
			if a != leader {
				a.turn <- answered
			}
		}
		l.next(time.Since(begin) >= overdue)
	}()
	l.aside(ctx, all)
}

// aside carries the asks on a stack of its own, since the way through the client of Redis is deep: that of whoever asks would be
// of twice the size for as long as his answer takes, which may be minutes.
func (l *line) aside(ctx context.Context, all []*ask) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.carry(ctx, all)
	}()
	<-done
}

// next lets somebody lead the next trip, if anybody waits. A late trip is the last of its kind while there are others.
func (l *line) next(late bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(l.waiting) - 1
	if n < 0 || late && l.trips > 1 {
		l.trips--
		return
	}
	a := l.waiting[n]
	l.waiting = l.waiting[:n]
	a.turn <- lead
}

func unsent(err error) error { return fmt.Errorf("%w: %w", state.ErrUnsent, err) }
