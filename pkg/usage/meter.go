// Package usage counts what was used: requests, how they ended, how long they took, and tokens, for everything together
// and by key, client and model. These are totals that only grow; single requests are in the access log.
//
// A request is counted in memory and never waits for I/O. Every 100 ms what has come together is added to the shared
// totals in one batch. A store that fails costs nothing but time: the sums are kept and go with the next batch, so what
// a replica can lose is the interval in which it is killed. The other way round, a store that adds a batch and then
// reports a failure is told twice; only the store could know.
package usage

import (
	"context"
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

// counters is all that a Meter needs of the shared state.
type counters interface {
	Count(ctx context.Context, usage []state.Usage) error
	Totals(ctx context.Context) (state.Totals, error)
}

// Options are the settings of a Meter.
type Options struct {
	Flush   time.Duration // how often totals are written; 0: every 100 ms
	Log     *slog.Logger
	Metrics prometheus.Registerer
}

// Meter counts finished requests.
type Meter struct {
	store  counters
	every  time.Duration
	log    *slog.Logger
	failed prometheus.Counter

	mu      sync.Mutex // guards pending and names; not held during I/O
	pending sums
	names   names

	// writing is full while a batch is on its way, and so in neither the pending sums nor the store's. Its holder may
	// use the two fields below.
	writing chan struct{}
	learned bool  // the models that the store knows have been read
	broken  error // why the last write failed; nil: it did not

	stop     func()        // asks the flushing goroutine to write what is left and end
	stopping chan struct{} // closed by stop
	done     chan struct{} // closed when that goroutine has ended
}

// New makes a Meter that writes to store until Close.
func New(store counters, o Options) *Meter {
	m := newMeter(store, o)
	go m.run()
	return m
}

// newMeter makes a Meter that writes when it is told to.
func newMeter(store counters, o Options) *Meter {
	if o.Flush == 0 {
		o.Flush = defaultFlush
	}
	m := &Meter{store: store, every: o.Flush, log: o.Log, pending: sums{}, names: names{},
		failed: prometheus.NewCounter(prometheus.CounterOpts{Name: "oap_usage_flush_errors_total",
			Help: "Writes of usage totals that failed and were put off."}),
		writing: make(chan struct{}, 1), stopping: make(chan struct{}), done: make(chan struct{})}
	m.stop = sync.OnceFunc(func() { close(m.stopping) })
	o.Metrics.MustRegister(m.failed)
	return m
}

// Record counts a finished request. It is to be called once for each, does not keep the record and never waits for I/O.
func (m *Meter) Record(rec *proxy.Record) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pending.add(rec, m.names.of(rec))
}

// Totals returns what the store has counted and what is still on its way there from this replica, each request once,
// sorted by kind and id.
func (m *Meter) Totals(ctx context.Context) (state.Totals, error) {
	if err := m.acquire(ctx); err != nil {
		return state.Totals{}, err
	}
	defer m.release()
	totals, err := m.store.Totals(ctx)
	if err != nil {
		return state.Totals{}, fmt.Errorf("usage totals: %w", err)
	}
	all := sums{}
	all.merge(totals.Usage)
	m.mu.Lock()
	all.merge(m.pending.list())
	m.mu.Unlock()
	totals.Usage = all.list()
	return totals, nil
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
	if n := m.pending.requests(); n > 0 {
		return errors.Join(fmt.Errorf("usage: %d requests were not counted", n), m.broken)
	}
	return nil
}
