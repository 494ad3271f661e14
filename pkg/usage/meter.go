// Package usage counts what was used: requests, how they ended, how long they took, and tokens, for everything together
// and by key, client and model, as totals that only grow and as series by minute, hour and day. It also hands on each
// finished request, so that the latest can be looked up.
//
// A request is counted in memory, and before that written to a journal if there is a place for one. Every 100 ms what has
// come together goes to the shared state in one batch. A store that fails costs nothing but time: the sums are kept, by the
// minute in which they were, so that an outage moves no usage to another time, and go with the next write.
//
// With a journal a process that is killed loses nothing that had ended: each batch has a number, which the store remembers,
// and whoever finds the journal afterwards sends what was not counted in the same batches. Nothing is doubled. The request
// waits for one write to a file, which does not wait for the disk; see package journal for what a power failure does. While
// the journal cannot be written, or is full because the state is away, requests are counted in memory only.
//
// Without one requests are only put in a list at their end, and counted when they are written or asked for. A replica can lose the
// interval in which it is killed, and, of the single requests, what is beyond the latest
// 10,000 in an outage.
package usage

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"openai-api-proxy/pkg/journal"
	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
)

const (
	// defaultFlush is how often totals are written.
	defaultFlush = 100 * time.Millisecond
	// patience bounds one write, and the whole of the last ones.
	patience = 2 * time.Second
)

// Options are the settings of a Meter.
type Options struct {
	Flush   time.Duration // how often it is written; 0: every 100 ms
	Replica string        // names this instance in the requests that are remembered
	Journal journal.Dir   // where it keeps its journal; nowhere: in memory only
	Log     *slog.Logger
	Metrics prometheus.Registerer
}

// Meter counts finished requests.
type Meter struct {
	store   state.History
	every   time.Duration
	replica string
	dir     journal.Dir
	log     *slog.Logger
	metrics

	// line is full while a record is written to the journal and added to what is pending, and while that is cut.
	line       chan struct{}
	hangs      atomic.Bool                     // somebody waited for it in vain: nobody else does
	own        atomic.Pointer[journal.Journal] // of this process; nil: there is none yet
	unwritable atomic.Pointer[error]           // why it cannot be written; nil: it can

	ended ended // where there is no journal

	mu      sync.Mutex // guards pending and names; not held during I/O
	pending pending
	names   names

	// writing is full while a batch is on its way, and so neither pending nor in the store. Its holder may use the two
	// fields below.
	writing chan struct{}
	learned bool  // the models that the store knows have been read
	broken  error // why the last write failed; nil: it did not

	// The goroutine that replays uses these two.
	adopted    adopted
	unreadable string // which journals it leaves alone

	stop     func()        // asks the goroutines to write what is left and end
	stopping chan struct{} // closed by stop
	done     chan struct{} // closed when they have ended
}

// New makes a Meter that writes to store until Close.
func New(store state.History, o Options) *Meter {
	m := newMeter(store, o)
	var all sync.WaitGroup
	all.Go(m.run)
	if m.dir.Path != "" {
		all.Go(m.replays)
	}
	go func() { all.Wait(); close(m.done) }()
	return m
}

// newMeter makes a Meter that writes and replays when it is told to.
func newMeter(store state.History, o Options) *Meter {
	if o.Flush == 0 {
		o.Flush = defaultFlush
	}
	m := &Meter{store: store, every: o.Flush, replica: o.Replica, dir: o.Journal, log: o.Log, pending: newPending(), names: names{},
		line: make(chan struct{}, 1), writing: make(chan struct{}, 1), stopping: make(chan struct{}), done: make(chan struct{})}
	m.stop = sync.OnceFunc(func() { close(m.stopping) })
	m.metrics = newMetrics(o.Metrics, m.journalBytes)
	m.begin()
	return m
}

// Record counts a finished request. It is to be called once for each, whose record nobody may change any more. When it returns
// the request is in the journal, if there is one that can be written.
func (m *Meter) Record(rec *proxy.Record) {
	if m.dir.Path == "" {
		if m.ended.add(rec) {
			m.sum()
		}
		return
	}
	var room [usualTries]state.Tried
	r := remembered(rec, m.replica, room[:0])
	request := r.Pack()
	m.mu.Lock()
	model := m.names.of(rec)
	m.mu.Unlock()
	if m.keep(rec, model, request) {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pending.loose.now.sums.add(rec, model)
	m.pending.remember(&m.pending.loose.now, request)
	m.tellLocked()
}

// tellLocked counts what had to be forgotten.
func (m *Meter) tellLocked() {
	if m.pending.forgotten > 0 {
		m.forgotten.Add(float64(m.pending.forgotten))
		m.pending.forgotten = 0
	}
}

// Close writes what is pending and ends the Meter, trying for two seconds if the store fails. The error says how much
// was not written and is nowhere else. What is recorded after Close is never written.
func (m *Meter) Close() error {
	m.stop()
	select {
	case <-m.done:
	case <-time.After(3 * patience): // longer than any write that keeps to its context
		return errors.New("usage: the store did not return from a write")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sumLocked()
	if n := m.pending.kept.sums().requests(); n > 0 {
		m.log.Warn("requests are left in the journal, to be counted by the next process", "requests", n)
	}
	if n := m.pending.loose.sums().requests(); n > 0 {
		return errors.Join(fmt.Errorf("usage: %d requests were not counted", n), m.broken)
	}
	return nil
}
