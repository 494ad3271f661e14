package upstream

import (
	"context"
	"sync"
	"time"
)

// quiet ends an attempt when the upstream is silent for too long: before the headers of its answer, and later inside it.
// Its one timer is not moved with each read; when it goes off it looks how long the silence is, and waits for the rest.
type quiet struct {
	cancel context.CancelCauseFunc

	mu    sync.Mutex // guards the rest
	timer *time.Timer
	limit time.Duration
	since time.Time // when the present silence began; zero: nobody waits for the upstream
	err   error     // what a silence means
	over  bool
}

func (q *quiet) begin(cancel context.CancelCauseFunc, patience time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.cancel, q.limit, q.err = cancel, patience, errSilent
	q.timer = time.AfterFunc(patience, q.look)
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
	q.since, q.err = time.Time{}, errIdle
	q.mu.Unlock()
}

// within is how long each silence may be from now on.
func (q *quiet) within(limit time.Duration) {
	q.mu.Lock()
	q.limit = limit
	q.timer.Reset(limit)
	q.mu.Unlock()
}

func (q *quiet) end() {
	q.mu.Lock()
	q.over = true
	q.timer.Stop()
	q.mu.Unlock()
}

func (q *quiet) look() {
	q.mu.Lock()
	defer q.mu.Unlock()
	left := q.limit
	if !q.since.IsZero() {
		left -= time.Since(q.since)
	}
	switch {
	case q.over:
	case left > 0:
		q.timer.Reset(left)
	default:
		q.cancel(q.err)
	}
}
