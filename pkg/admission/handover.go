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

// caughtUp waits a moment until all is told of a client that has ended here, and has it told at once.
func (t *teller) caughtUp(ctx context.Context, name string) {
	for begin := time.Now(); time.Since(begin) < handoverWait; {
		t.mu.Lock()
		about := t.subjects[name]
		told := about == nil || about.queued == 0
		t.mu.Unlock()
		if told {
			return
		}
		rouse(t.hurry)
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Millisecond):
		}
	}
}
