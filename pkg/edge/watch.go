package edge

import (
	"sync"
	"time"
)

// While a request runs, net/http reads a byte ahead of it, on a goroutine of its own, to notice that the caller leaves. When the
// answer has gone it interrupts that and waits for its end. For a small request that is a fifteenth of all its work. So conn
// answers that read at once, and a watch listens in its place, but only to requests that are no longer young. That a caller has left
// is noticed up to two looks late, which is about when an attempt begins to follow him.

// youth is the time between two looks at the requests that run: most have been answered by the second.
const youth = 25 * time.Millisecond

// sentry looks at the requests of all connections, with one timer.
type sentry struct {
	mu    sync.Mutex // guards the rest, and all watches
	first *watch     // of a list
	timer *time.Timer
	runs  bool // the timer does
	round int  // looks so far
}

// watch listens to one connection.
type watch struct {
	sentry     *sentry
	listen     func()
	ended      chan struct{} // capacity 1; told when listen has returned
	listed     bool          // it will listen
	listening  bool          // listen was begun, and nobody has called end since
	round      int           // in which it was listed
	next, prev *watch
}

func newWatch(s *sentry, listen func()) watch {
	return watch{sentry: s, listen: listen, ended: make(chan struct{}, 1)}
}

// begin lets it listen when the request that runs is old enough.
func (w *watch) begin() {
	s := w.sentry
	s.mu.Lock()
	defer s.mu.Unlock()
	if w.listed, w.round, w.next = true, s.round, s.first; w.next != nil {
		w.next.prev = w
	}
	s.first = w
	s.setLocked()
}

// end ends it. If it was listening, whoever calls interrupts that and waits until it has ended.
func (w *watch) end() (listening bool) {
	w.sentry.mu.Lock()
	defer w.sentry.mu.Unlock()
	w.leaveLocked()
	listening, w.listening = w.listening, false
	return listening
}

func (w *watch) leaveLocked() {
	if !w.listed {
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
	w.listed, w.next, w.prev = false, nil, nil
}

func (w *watch) run() {
	w.listen()
	w.ended <- struct{}{}
}

// setLocked has the timer run while anything is listed.
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

// look lets those listen that have seen two looks.
func (s *sentry) look() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.round++
	s.runs = false
	for w := s.first; w != nil; {
		next := w.next
		if s.round-w.round >= 2 {
			w.leaveLocked()
			w.listening = true
			go w.run()
		}
		w = next
	}
	s.setLocked()
}
