package redisstate

import (
	"context"
	"fmt"
	"runtime"
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
	// mostWays bounds how often whoever leads gives way to others before it goes.
	mostWays = 4
)

// line is where spendings wait for a trip to Redis. One that comes when none is on its way goes at once, with those that are
// about to ask. Those that come meanwhile go together when it is back: a trip costs as much as a third of a request, and costs it
// once for all that take part. At a low rate nobody waits: one of those that wait carries the others. It is the youngest,
// which can wait for longest. A second trip at once makes both emptier, and saves nobody anything.
type line struct {
	carry func(ctx context.Context, asks []*ask) // one trip; every ask has its verdict or error after it

	mu      sync.Mutex // guards the rest, and what the asks have below their errors
	trips   int        // on their way
	waiting []*ask     // in the order in which they came
	pending pending    // those, and whom the trips carry, without the leaders
}

// ask is one call of Spend.
type ask struct {
	subject, reservation string
	charges              []state.Charge
	until                time.Time // the caller waits no longer

	verdict state.Verdict
	err     error

	turn       chan turn // capacity 1; nil: it has never waited
	told       bool      // its turn
	came       time.Time
	late       bool // it was overdue already
	aboard     bool // it does not wait any more
	at         int  // so many that wait have come before it, if it leads
	next, prev *ask
}

// turn is what an ask that waits is told.
type turn int

const (
	answered turn = iota
	lead          // go, and take with you whoever waits
	unheard       // its time is over
)

// spend has the ask carried. A caller who leaves waits no longer, unless it carries the others. An ask that has its answer may be
// used again.
func (l *line) spend(ctx context.Context, a *ask) (state.Verdict, error) {
	if err := ctx.Err(); err != nil {
		return state.Verdict{}, unsent(err)
	}
	if l.mu.Lock(); l.trips == 0 {
		l.trips++
		l.mu.Unlock()
		a.at = 0
		l.lead(ctx, a)
		return a.verdict, a.err
	}
	if a.turn == nil {
		a.turn = make(chan turn, 1)
	}
	a.told, a.late, a.aboard, a.came = false, false, false, time.Now()
	l.waiting = append(l.waiting, a)
	l.pending.add(a, l.look)
	l.mu.Unlock()
	select {
	case told := <-a.turn:
		return l.obey(ctx, a, told)
	case <-ctx.Done():
		return l.leave(ctx, a)
	}
}

// obey does what the ask was told.
func (l *line) obey(ctx context.Context, a *ask, told turn) (state.Verdict, error) {
	switch {
	case told == lead:
		l.lead(ctx, a)
	case told == answered:
	case a.aboard:
		return state.Verdict{}, unavailable(context.DeadlineExceeded)
	default:
		return state.Verdict{}, unsent(context.DeadlineExceeded)
	}
	return a.verdict, a.err
}

// lead carries the ask and those that wait, behind those that have come before it. It gives way as long as that brings more of
// them: whoever was about to ask comes along, and who is alone loses nothing.
func (l *line) lead(ctx context.Context, a *ask) {
	l.mu.Lock()
	for before, i := -1, 0; len(l.waiting) > before && i < mostWays; i++ {
		before = len(l.waiting)
		l.mu.Unlock()
		runtime.Gosched()
		l.mu.Lock()
	}
	n := min(len(l.waiting), mostTogether-1)
	all := slices.Insert(slices.Clone(l.waiting[:n]), min(a.at, n), a)
	l.waiting = slices.Delete(l.waiting, 0, n)
	for _, other := range all {
		other.aboard = true
	}
	l.mu.Unlock()
	l.trip(ctx, a, all)
}

// leave gives up the wait. Of an ask that is on its way nobody knows then what becomes of it.
func (l *line) leave(ctx context.Context, a *ask) (state.Verdict, error) {
	why := ctx.Err()
	l.mu.Lock()
	told, aboard := a.told, a.aboard
	if !told {
		l.takeLocked(a)
		a.told = true
	}
	l.mu.Unlock()
	switch {
	case told:
		if turn := <-a.turn; turn != lead {
			return l.obey(ctx, a, turn)
		}
		l.next(false)
		return state.Verdict{}, unsent(why)
	case aboard:
		return state.Verdict{}, unavailable(why)
	default:
		return state.Verdict{}, unsent(why)
	}
}

// tellLocked tells an ask its turn.
func (l *line) tellLocked(a *ask, is turn) {
	l.takeLocked(a)
	a.told = true
	a.turn <- is
}

// takeLocked takes the ask out of the line.
func (l *line) takeLocked(a *ask) {
	l.pending.remove(a)
	if !a.aboard { // it waits
		at := slices.Index(l.waiting, a)
		l.waiting = slices.Delete(l.waiting, at, at+1)
	}
}

// look tells those whose time is over. Of those that have waited for too long it has one lead a trip of its own, with the others.
func (l *line) look() {
	l.mu.Lock()
	defer l.mu.Unlock()
	now, led := time.Now(), false
	for a := l.pending.first; a != nil; {
		next := a.next
		switch {
		case !now.Before(a.until):
			l.tellLocked(a, unheard)
		case !a.aboard && !a.late && now.Sub(a.came) >= overdue:
			if a.late = true; !led && l.trips < mostTrips {
				led = true
				l.trips++
				a.at = slices.Index(l.waiting, a)
				l.tellLocked(a, lead)
			}
		}
		a = next
	}
	l.pending.set(l.look)
}

// trip carries all asks, the leader's among them. It outlives the leader's caller, on whom the others do not depend.
func (l *line) trip(ctx context.Context, leader *ask, all []*ask) {
	begin := time.Now()
	ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), leader.until)
	defer func() {
		cancel()
		l.tell(all, leader)
		l.next(time.Since(begin) >= overdue)
	}()
	l.aside(ctx, all)
}

// tell tells those that were carried, and have not left, that they have their answers.
func (l *line) tell(all []*ask, leader *ask) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range all {
		if a != leader && !a.told {
			l.tellLocked(a, answered)
		}
	}
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
	l.waiting[n].at = n
	l.tellLocked(l.waiting[n], lead)
}

func unsent(err error) error { return fmt.Errorf("%w: %w", state.ErrUnsent, err) }
