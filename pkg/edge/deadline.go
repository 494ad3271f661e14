package edge

import (
	"errors"
	"os"
	"sync"
	"time"
)

// deadline is that of a connection's reads, or of its writes. The server and we set one several times for each request, and to give
// it to the connection moves a timer of the runtime. So it is given only one that ends sooner than that which it has; an end that
// came too soon is put off, and what waits goes on.
type deadline struct {
	give  func(time.Time) error // sets that of the connection
	pause time.Duration         // bounds what waits while nobody wants a deadline, beside what is left of the last; 0: nothing does

	mu     sync.Mutex // guards the rest
	wanted time.Time  // zero: none
	given  time.Time
	over   bool // that has passed
	waits  int  // so much reads, or writes
	paused bool // the last of it was given a pause of its own
}

// want sets the deadline. It holds for what waits, and for what follows.
func (d *deadline) want(t time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.wanted = t; d.waits == 0 {
		return nil
	}
	return d.holdLocked()
}

// isWanted is the deadline that is wanted.
func (d *deadline) isWanted() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.wanted
}

// begin is told before a read or a write.
func (d *deadline) begin() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.waits++
	d.paused = false
	return d.holdLocked()
}

// end is told after it.
func (d *deadline) end() {
	d.mu.Lock()
	d.waits--
	d.mu.Unlock()
}

// holdLocked has the connection end what waits in time, if not sooner.
func (d *deadline) holdLocked() error {
	if d.wanted == d.given && d.pause == 0 || !d.over && !d.given.IsZero() && (d.wanted.IsZero() || !d.given.After(d.wanted)) {
		return nil
	}
	return d.giveLocked()
}

func (d *deadline) giveLocked() error {
	d.over, d.given = false, d.wanted
	if d.pause > 0 && d.wanted.IsZero() {
		d.paused, d.given = true, time.Now().Add(d.pause)
	}
	return d.give(d.given)
}

// tooSoon reports whether what waits ended before it should have, and puts the end off.
func (d *deadline) tooSoon(err error) bool {
	if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.over && (d.given.IsZero() || time.Until(d.given) > 0) {
		return true // another has put it off
	}
	d.over = true
	if d.wanted.IsZero() {
		return !d.paused && d.giveLocked() == nil
	}
	return d.wanted != d.given && time.Until(d.wanted) > 0 && d.giveLocked() == nil
}
