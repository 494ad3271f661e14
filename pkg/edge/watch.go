package edge

import (
	"sync"
	"time"
)

// While a request runs, net/http reads a byte ahead of it, on a goroutine of its own, to notice that the caller leaves; it interrupts
// that and waits for its end when the answer has gone. That is a fifteenth of what a small request costs. So the byte is not read
// for it (see headConn.Read), but here, and only for requests that are no longer young. It is noticed up to two looks late that
// the caller has left, which is about when an attempt begins to follow him.

// youth is the time between two looks at the requests that run: most have been answered by the second.
const youth = 25 * time.Millisecond

// sentry looks at all requests that run, with one timer.
type sentry struct {
	mu    sync.Mutex // guards the rest, and all watches
	first *watch     // of a list
	timer *time.Timer
	runs  bool // the timer does
	round int  // looks so far
}

// watch is that for the end of one connection.
type watch struct {
	sentry     *sentry
	read       func()        // reads ahead until it has ended or is to
	ended      chan struct{} // capacity 1; that reading has
	waits      bool          // to be old enough
	reads      bool          // and nobody has waited for its end
	round      int           // in which it began
	next, prev *watch
}

func newWatch(s *sentry, read func()) watch {
	return watch{sentry: s, read: read, ended: make(chan struct{}, 1)}
}

// begin has the watch begin when the request that runs is old enough.
func (w *watch) begin() {
	s := w.sentry
	s.mu.Lock()
	defer s.mu.Unlock()
	if w.waits || w.reads {
		return
	}
	if w.waits, w.round, w.next = true, s.round, s.first; w.next != nil {
		w.next.prev = w
	}
	s.first = w
	s.setLocked()
}

// end ends it, and reports whether it has begun to read: that is then to be interrupted, and its end to be waited for.
func (w *watch) end() (reads bool) {
	w.sentry.mu.Lock()
	defer w.sentry.mu.Unlock()
	w.leaveLocked()
	reads, w.reads = w.reads, false
	return reads
}

func (w *watch) look() {
	w.read()
	w.ended <- struct{}{}
}

func (w *watch) leaveLocked() {
	if !w.waits {
		return
	}
	if w.prev != nil {
		w.prev.next = w.next
	} else {
		w.sentry.first = w.next
	}
	if w.next != nil {
		w.next.prev = w.prev
	}
	w.waits, w.next, w.prev = false, nil, nil
}

// setLocked has the timer run while anything waits.
func (s *sentry) setLocked() {
	switch {
	case s.runs || s.first == nil:
		return
	case s.timer == nil:
		s.timer = time.AfterFunc(youth, s.look)
	default:
		s.timer.Reset(youth)
	}
	s.runs = true
}

// look lets those read that have seen two looks.
func (s *sentry) look() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.round++
	s.runs = false
	for w := s.first; w != nil; {
		next := w.next
		if s.round-w.round >= 2 {
			w.leaveLocked()
			w.reads = true
			go w.look()
		}
		w = next
	}
	s.setLocked()
}
