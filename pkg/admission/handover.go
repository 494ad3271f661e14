package admission

import (
	"context"
	"time"
)

// handoverWait is how long a request waits for the slot of one that has just ended here.
const handoverWait = 25 * time.Millisecond

// handover waits for a slot that is about to be freed here, and reports whether one was. Without it a caller who sends one
// request after the other would be refused: it has the end of an answer before the shared state has heard of it.
func (t *teller) handover(ctx context.Context, name string) bool {
	freed := func() (some, queued bool, live int64) {
		t.mu.Lock()
		defer t.mu.Unlock()
		about := t.subjects[name]
		if about == nil {
			return false, false, 0
		}
		return true, about.queued > 0, about.live
	}
	some, ended, before := freed()
	if !some {
		return false
	}
	for begin := time.Now(); time.Since(begin) < handoverWait; {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(time.Millisecond):
		}
		_, queued, live := freed()
		if queued {
			rouse(t.hurry)
		}
		if ended = ended || live < before || queued; ended && !queued {
			return true
		}
	}
	return false
}

// caughtUp waits until all is told of a client that has ended here so far, and has it told at once. How long that takes is the
// state's matter, or the machine's; once it was not heard, nobody waits any more, for it may never be.
func (t *teller) caughtUp(ctx context.Context, name string) {
	t.mu.Lock()
	about := t.subjects[name]
	if about == nil || about.queued == 0 {
		t.mu.Unlock()
		return
	}
	last := about.last
	for t.heard < last && !t.unheard {
		if t.moved == nil {
			t.moved = make(chan struct{})
		}
		moved := t.moved
		t.mu.Unlock()
		rouse(t.hurry)
		select {
		case <-moved:
		case <-t.done:
			return
		case <-ctx.Done():
			return
		}
		t.mu.Lock()
	}
	t.mu.Unlock()
}

// movedLocked wakes who waits for what was told, or was not heard.
func (t *teller) movedLocked() {
	if t.moved != nil {
		close(t.moved)
		t.moved = nil
	}
}
