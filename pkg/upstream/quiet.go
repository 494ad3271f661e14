package upstream

import (
	"sync"
	"time"
)

// quiet ends an attempt when the upstream is silent for too long: before the headers of its answer, and later inside it.
type quiet struct {
	vigil *vigil
	of    canceler
	least time.Duration // the shortest limit

	mu    sync.Mutex // guards the rest
	limit time.Duration
	later time.Duration // the limit after the headers
	since time.Time     // when the present silence began; zero: nobody waits for the upstream
	err   error         // what a silence means

	// The vigil guards these.
	next, prev *quiet
	round      int  // in which it began
	grown      bool // it follows its caller
}

// canceler is what is ended.
type canceler interface {
	cancel(why error)
	// follow has it end when its caller leaves, if it does not yet.
	follow()
}

// begin begins the attempt: the headers may take as long as patience says, and after them no silence longer than later.
func (q *quiet) begin(of canceler, v *vigil, patience, later time.Duration) {
	q.of, q.vigil, q.least, q.limit, q.later, q.err = of, v, min(patience, later), patience, later, errSilent
	v.add(q)
}

// wait begins a silence.
func (q *quiet) wait() { q.set(time.Now()) }

// heard ends it.
func (q *quiet) heard() { q.set(time.Time{}) }

func (q *quiet) set(since time.Time) {
	q.mu.Lock()
	q.since = since
	q.mu.Unlock()
}

// sent is told when a body has gone upstream, which may be after the answer.
func (q *quiet) sent() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.err == errSilent {
		q.since = time.Now()
	}
}

// answered ends the wait for headers.
func (q *quiet) answered() {
	q.mu.Lock()
	q.since, q.err, q.limit = time.Time{}, errIdle, q.later
	q.mu.Unlock()
}

// end is the end of the attempt: nothing cuts it any more.
func (q *quiet) end() {
	q.heard()
	if q.vigil != nil { // it had begun
		q.vigil.remove(q)
	}
}

// silent reports whether the present silence has lasted for too long.
func (q *quiet) silent(now time.Time) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.silentLocked(now)
}

func (q *quiet) silentLocked(now time.Time) bool {
	return !q.since.IsZero() && now.Sub(q.since) >= q.limit
}

// cut ends the attempt, if it is not over by now. It does so under the mutex: whoever was told of the answer has it in time.
func (q *quiet) cut() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.silentLocked(time.Now()) {
		q.since = time.Time{}
		q.of.cancel(q.err)
	}
}

const (
	// slack is the part of a limit by which a silence may be longer.
	slack = 16
	// mostSlack is the longest time between two looks.
	mostSlack = time.Second
	// childhood is the time between two looks as long as an attempt is so young that it does not follow its caller. Most are over
	// before they do, which saves each five allocations; of others it is noticed so much later that the caller has left.
	childhood = 25 * time.Millisecond
)

// vigil looks after all attempts that run, with one timer: to set one for each request, move it at the answer and stop it at the
// end costs more than a few looks a second at those that are open.
type vigil struct {
	mu    sync.Mutex // guards the rest
	first *quiet     // of a list
	timer *time.Timer
	every time.Duration // between two looks; 0: the timer does not run
	round int           // looks so far
}

// add begins to look after an attempt.
func (v *vigil) add(q *quiet) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if q.next = v.first; q.next != nil {
		q.next.prev = q
	}
	v.first, q.round = q, v.round
	if every := min(pace(q.least), childhood); v.every == 0 || every < v.every {
		v.setLocked(every)
	}
}

// pace is how often to look where a limit is kept.
func pace(limit time.Duration) time.Duration {
	return min(max(limit/slack, time.Millisecond), mostSlack)
}

func (v *vigil) setLocked(every time.Duration) {
	v.every = every
	switch {
	case every == 0:
	case v.timer == nil:
		v.timer = time.AfterFunc(every, v.look)
	default:
		v.timer.Reset(every)
	}
}

// remove is safe to call twice.
func (v *vigil) remove(q *quiet) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case q.prev != nil:
		q.prev.next = q.next
	case v.first == q:
		v.first = q.next
	}
	if q.next != nil {
		q.next.prev = q.prev
	}
	q.next, q.prev = nil, nil
}

// look ends those that were silent for too long. Each end is on its own: to close a connection may take a while.
func (v *vigil) look() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.round++
	every, now := time.Duration(0), time.Now()
	for q := v.first; q != nil; q = q.next {
		if q.silent(now) {
			go q.cut()
		}
		next := pace(q.least)
		if v.raise(q); !q.grown {
			next = min(next, childhood)
		}
		if every == 0 || next < every {
			every = next
		}
	}
	v.setLocked(every)
}

// raise has an attempt follow its caller at the second look.
func (v *vigil) raise(q *quiet) {
	if !q.grown && v.round-q.round >= 2 {
		q.grown = true
		q.of.follow()
	}
}
