package edge

import (
	"sync"
	"time"
)

// youth is the time between two looks at the requests that run. Before the second the server's wait for the caller's end does
// not ask the kernel: to ask, to be told that there is nothing, and to be interrupted with a deadline when the answer has gone
// is a fifteenth of what a small request costs, and most are answered by then. Of others it is noticed up to two looks late that the
// caller has left, which is about when an attempt begins to follow him.
const youth = 25 * time.Millisecond

// sentry wakes what has watched for long enough, with one timer for all.
type sentry struct {
	mu    sync.Mutex // guards the rest, and all watches
	first *watch     // of a list
	timer *time.Timer
	runs  bool // the timer does
	round int  // looks so far
}

// watch is a read that waits, without a system call, until it is old enough for one or has to end.
type watch struct {
	sentry     *sentry
	woken      chan struct{} // capacity 1
	waits      bool
	round      int // in which it began
	next, prev *watch
}

func newWatch(s *sentry) watch { return watch{sentry: s, woken: make(chan struct{}, 1)} }

// begin has the watch woken, by the sentry at the latest.
func (w *watch) begin() {
	s := w.sentry
	s.mu.Lock()
	defer s.mu.Unlock()
	if w.waits, w.round, w.next = true, s.round, s.first; w.next != nil {
		w.next.prev = w
	}
	s.first = w
	s.setLocked()
}

// wake ends the watch, if one goes on.
func (w *watch) wake() {
	w.sentry.mu.Lock()
	defer w.sentry.mu.Unlock()
	w.wakeLocked()
}

func (w *watch) wakeLocked() {
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
	w.woken <- struct{}{}
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

// look wakes those that have seen two looks.
func (s *sentry) look() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.round++
	s.runs = false
	for w := s.first; w != nil; {
		next := w.next
		if s.round-w.round >= 2 {
			w.wakeLocked()
		}
		w = next
	}
	s.setLocked()
}
