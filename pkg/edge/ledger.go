package edge

import (
	"io"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"openai-api-proxy/pkg/proxy"
)

const (
	// bookDelay is how long a finished request may wait to be booked together with others.
	bookDelay = 20 * time.Millisecond
	// mostWaiting is how many may wait. Who makes it more books them himself, and waits like everybody after him for a log that
	// is slow.
	mostWaiting = 512
)

// ledger books finished requests: it counts them in the metrics and writes their lines of the access log. It does so for many at
// once and off their way, for one alone finds nothing of what that needs in the caches of the processor. Whoever reads metrics
// counts first what waits, so they are never behind; lines follow within bookDelay, and on close at the latest. A SIGKILL, or a
// crash of the Go runtime, loses the lines of that time.
//
// A record that was added is the ledger's: nobody may change it any more.
type ledger struct {
	book func(rec *proxy.Record, to *line) // counts a request and writes its line; it is not called twice at once
	to   io.Writer                         // of lines; nil: there are none

	mu      sync.Mutex // guards the fields below; not held while anything is booked or written
	waiting []*proxy.Record
	held    int // those and what is booked but not written
	closed  bool
	timer   *time.Timer

	booking sync.Mutex // held while records are booked; guards spare and lines
	spare   []*proxy.Record
	lines   line
	booked  int // of which the lines are

	writing sync.Mutex // held while lines are written, so that they keep their order; guards written
	written line
}

func newLedger(book func(*proxy.Record, *line), to io.Writer) *ledger {
	l := &ledger{book: book, to: to}
	l.timer = time.AfterFunc(bookDelay, l.write)
	l.timer.Stop() // until there is something
	return l
}

// add takes over the record of a request that has ended.
func (l *ledger) add(rec *proxy.Record) {
	l.mu.Lock()
	if l.held == 0 && !l.closed {
		l.timer.Reset(bookDelay)
	}
	l.waiting = append(l.waiting, rec)
	l.held++
	now := l.held > mostWaiting || l.closed
	l.mu.Unlock()
	if now {
		l.write()
	}
}

// count books what waits. It does not wait for the log.
func (l *ledger) count() {
	l.booking.Lock()
	defer l.booking.Unlock()
	l.countLocked()
}

func (l *ledger) countLocked() {
	l.mu.Lock()
	l.waiting, l.spare = l.spare[:0], l.waiting
	l.mu.Unlock()
	for _, rec := range l.spare {
		l.book(rec, &l.lines)
	}
	l.booked += len(l.spare)
	clear(l.spare) // they may go
}

// write books what waits and writes the lines of all that was booked.
func (l *ledger) write() {
	l.writing.Lock()
	defer l.writing.Unlock()
	n := l.take()
	if len(l.written.text) > 0 {
		_, _ = l.to.Write(l.written.text) // a log that cannot be written is nobody's request's fault
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held -= n; l.held > 0 && !l.closed { // they came meanwhile
		l.timer.Reset(bookDelay)
	}
}

// take books what waits and takes the lines that are to be written, of so many requests.
func (l *ledger) take() (n int) {
	l.booking.Lock()
	defer l.booking.Unlock()
	l.countLocked()
	l.lines.text, l.written.text = l.written.text[:0], l.lines.text
	n, l.booked = l.booked, 0
	return n
}

// close books and writes what waits. What is added later is written at once.
func (l *ledger) close() {
	l.mu.Lock()
	l.closed = true
	l.timer.Stop()
	l.mu.Unlock()
	l.write()
}

// counted is a collector that has counted all that ended before it is collected.
type counted struct {
	prometheus.Collector
	count func()
}

func (c counted) Collect(to chan<- prometheus.Metric) {
	c.count()
	c.Collector.Collect(to)
}
