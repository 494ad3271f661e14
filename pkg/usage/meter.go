// Package usage counts what was used: requests, how they ended, how long they took, and tokens, for everything together
// and by key, client and model, as totals that only grow and as series by minute, hour and day. It also hands on each
// finished request, so that the latest can be looked up.
//
// A request is counted in memory and never waits for I/O. Every 100 ms what has come together goes to the shared state in
// one batch. A store that fails costs nothing but time: the sums are kept, by the minute in which they were, so that an
// outage moves no usage to another time, and go with the next write. What a replica can lose is the interval in which it is
// killed, and, of the single requests, what is beyond the latest 10,000 in an outage. The other way round, a store that adds
// a batch and then reports a failure is told twice; only the store could know.
package usage

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

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
	Log     *slog.Logger
	Metrics prometheus.Registerer
}

// Meter counts finished requests.
type Meter struct {
	store     state.History
	every     time.Duration
	replica   string
	log       *slog.Logger
	failed    prometheus.Counter
	forgotten prometheus.Counter

	mu      sync.Mutex // guards pending and names; not held during I/O
	pending pending
	names   names

	// writing is full while a batch is on its way, and so neither pending nor in the store. Its holder may use the two
	// fields below.
	writing chan struct{}
	learned bool  // the models that the store knows have been read
	broken  error // why the last write failed; nil: it did not

	stop     func()        // asks the flushing goroutine to write what is left and end
	stopping chan struct{} // closed by stop
	done     chan struct{} // closed when that goroutine has ended
}

// New makes a Meter that writes to store until Close.
func New(store state.History, o Options) *Meter {
	m := newMeter(store, o)
	go m.run()
	return m
}

// newMeter makes a Meter that writes when it is told to.
func newMeter(store state.History, o Options) *Meter {
	if o.Flush == 0 {
		o.Flush = defaultFlush
	}
	m := &Meter{store: store, every: o.Flush, replica: o.Replica, log: o.Log, pending: newPending(), names: names{},
		failed: prometheus.NewCounter(prometheus.CounterOpts{Name: "oap_usage_flush_errors_total",
			Help: "Writes of usage that failed and were put off."}),
		forgotten: prometheus.NewCounter(prometheus.CounterOpts{Name: "oap_usage_requests_forgotten_total",
			Help: "Finished requests that were counted but are not among those that can be looked up: the state was away too long."}),
		writing: make(chan struct{}, 1), stopping: make(chan struct{}), done: make(chan struct{})}
	m.stop = sync.OnceFunc(func() { close(m.stopping) })
	o.Metrics.MustRegister(m.failed, m.forgotten)
	return m
}

// Record counts a finished request. It is to be called once for each, does not keep the record and never waits for I/O.
func (m *Meter) Record(rec *proxy.Record) {
	r, err := remembered(rec, m.replica)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pending.now.sums.add(rec, m.names.of(rec))
	if err != nil { // it is counted all the same
		m.log.Warn("a request is not remembered", "id", rec.ID, "error", err)
		m.pending.forgotten++
	} else {
		m.pending.remember(r)
	}
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
// was not written. What is recorded after Close is never written.
func (m *Meter) Close() error {
	m.stop()
	select {
	case <-m.done:
	case <-time.After(3 * patience): // longer than any write that keeps to its context
		return errors.New("usage: the store did not return from a write")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := m.pending.sums().requests(); n > 0 {
		return errors.Join(fmt.Errorf("usage: %d requests were not counted", n), m.broken)
	}
	return nil
}
