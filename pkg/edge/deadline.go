package edge

import (
	"errors"
	"os"
	"sync"
	"time"
)

// deadline is that of a connection's reads, or of its writes. The server and we set one nine times for each request, and to give
// it to the connection moves a timer of the runtime. So it is given only one that ends sooner than that which it has; an end that
// came too soon is put off, and what waits goes on.
type deadline struct {
	give  func(time.Time) error // sets that of the connection
	pause time.Duration         // bounds what waits while nobody wants a deadline; 0: nothing does

	mu     sync.Mutex // guards the rest
	wanted time.Time  // zero: none
	given  time.Time
	waits  bool // something reads, or writes
	began  time.Time
}

// want sets the deadline. It holds for what waits, and for what follows.
func (d *deadline) want(t time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.wanted = t; !d.waits {
		return nil
	}
	return d.holdLocked()
}

// begin is told before a read or a write.
func (d *deadline) begin() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.waits, d.began = true, time.Now()
	return d.holdLocked()
}

// end is told after it.
func (d *deadline) end() {
	d.mu.Lock()
	d.waits = false
	d.mu.Unlock()
}

// holdLocked has the connection end what waits in time, if not sooner.
func (d *deadline) holdLocked() error {
	due := d.dueLocked()
	if due == d.given || d.given.After(d.began) && (due.IsZero() || d.given.Before(due)) {
		return nil
	}
	return d.giveLocked(due)
}

// dueLocked is when what waits is to end; zero: never.
func (d *deadline) dueLocked() time.Time {
	if d.wanted.IsZero() && d.pause > 0 {
		return d.began.Add(d.pause)
	}
	return d.wanted
}

func (d *deadline) giveLocked(t time.Time) error {
	d.given = t
	return d.give(t)
}

// tooSoon reports whether what waits ended before it should have, and puts the end off.
func (d *deadline) tooSoon(err error) bool {
	if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	due := d.dueLocked()
	return (due.IsZero() || due.After(time.Now())) && d.giveLocked(due) == nil
}
