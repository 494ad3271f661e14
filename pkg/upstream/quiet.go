package upstream

import (
	"context"
	"sync/atomic"
	"time"
)

// quiet ends an attempt when the upstream is silent for too long: before the headers of its answer, and later inside it.
// Its one timer is not moved with each read; when it goes off it looks how long the silence is, and waits for the rest.
type quiet struct {
	cancel context.CancelCauseFunc
	start  time.Time
	timer  *time.Timer

	limit    atomic.Int64 // ns
	since    atomic.Int64 // ns after start, when the present silence began; see the values below
	answered atomic.Bool  // a body may still be written while it is answered
}

const (
	spoken = 0  // nobody waits for the upstream
	over   = -1 // nobody will
)

func (q *quiet) begin(cancel context.CancelCauseFunc, patience time.Duration) {
	q.cancel, q.start = cancel, time.Now()
	q.limit.Store(int64(patience))
	q.timer = time.AfterFunc(patience, q.look)
	q.since.Store(spoken) // look reads the timer after this
}

// wait begins a silence.
func (q *quiet) wait() { q.since.Store(int64(time.Since(q.start)) + 1) }

// heard ends it.
func (q *quiet) heard() { q.since.Store(spoken) }

// within is how long each silence may be from now on.
func (q *quiet) within(limit time.Duration) {
	q.limit.Store(int64(limit))
	q.timer.Reset(limit)
}

func (q *quiet) end() {
	q.since.Store(over)
	q.timer.Stop()
}

func (q *quiet) look() {
	since, left := q.since.Load(), q.limit.Load()
	if since == over {
		return
	}
	if since != spoken {
		left -= int64(time.Since(q.start)) - since
	}
	switch {
	case left > 0:
		q.timer.Reset(time.Duration(left))
	case q.answered.Load():
		q.cancel(errIdle)
	default:
		q.cancel(errSilent)
	}
}
