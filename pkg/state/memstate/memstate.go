// Package memstate is the state of a single instance: in memory, with a file behind it. What is answered comes from
// memory; the file is written once a second, and at once only where a crash could otherwise let somebody spend more than
// a quota, or undo what an operator was told is done. ../README.md says what a crash loses.
package memstate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"openai-api-proxy/pkg/state"
)

// flushEvery is how often changes are written, and so what a crash may lose of what is not a quota.
const flushEvery = time.Second

// Store is a state.Store. Its methods do not fail but for a quota or a change of the catalog that could not be written.
type Store struct {
	now  func() time.Time
	log  *slog.Logger
	file *file // nil: memory only

	cursors cursors
	limits  limits
	rests   rests
	claims  claims
	seen    seen
	usage   usage
	catalog catalog
	series  series
	sources sources
	objects objects
	alerts  alerts

	requests requests

	// counting is held while a batch is added, and while what changed is collected, so that the file has all of a batch, its
	// number among it, or nothing.
	counting sync.Mutex

	mostScanned    int // of remembered requests that one query looks at; lower in tests
	mostRemembered int

	failing bool // the last flush failed; only the flusher uses it

	end  chan struct{}
	done chan struct{} // closed when the flusher has ended
	once sync.Once
	err  error // of Close
}

var _ state.Store = (*Store)(nil)

// Option changes how a Store works.
type Option func(*Store)

// WithClock replaces time.Now.
func WithClock(now func() time.Time) Option { return func(s *Store) { s.now = now } }

// WithLog says where a file that cannot be written is told of.
func WithLog(log *slog.Logger) Option { return func(s *Store) { s.log = log } }

// WithRequests says how many requests are remembered, in place of state.MostRequests. Without a file there are fewer.
func WithRequests(n int) Option { return func(s *Store) { s.mostRemembered = n } }

// New is a Store that forgets everything at the end. It remembers fewer requests and points than one with a file; see
// mostRecent and mostInMemory.
func New(opts ...Option) *Store {
	s := &Store{now: time.Now, log: slog.New(slog.DiscardHandler), end: make(chan struct{}), done: make(chan struct{}),
		mostScanned: state.MostScanned, mostRemembered: state.MostRequests}
	for _, o := range opts {
		o(s)
	}
	s.requests.most = min(mostRecent, s.mostRemembered)
	s.cursors.at = map[string]int64{}
	s.limits.subjects = map[string]*limit{}
	s.rests.all = map[state.Subject]state.Rest{}
	s.claims.until = map[state.Subject]time.Time{}
	s.seen.keys = map[string]*window{}
	s.usage.all = map[usageName]*state.Counts{}
	s.usage.since = s.now()
	s.catalog = newCatalog()
	s.series = series{steps: map[stepAt]points{}, dirty: map[stepAt]map[seriesName]bool{},
		mostSeries: state.MostSeries, mostPoints: mostInMemory}
	s.sources = newSources()
	s.objects = newObjects()
	s.alerts = newAlerts()
	return s
}

// Open is a Store with its file in dir, which is made if need be. ErrInUse means that another process has it.
func Open(dir string, opts ...Option) (*Store, error) {
	s := New(opts...)
	f, err := openFile(dir)
	if err != nil {
		return nil, err
	}
	if err := f.load(s); err != nil {
		return nil, errors.Join(fmt.Errorf("reading the state in %s: %w", dir, err), f.close())
	}
	s.objects.loaded()
	s.file = f
	s.requests.most = mostRecent // those that wait for the file are more than those in it, for once
	go s.flusher()
	return s, nil
}

// flusher writes what changed, until Close.
func (s *Store) flusher() {
	defer close(s.done)
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.tell(s.flush(false))
			s.series.settle(s.now())
			s.limits.prune(s.now())
			s.seen.prune(s.now())
		case <-s.end:
			return
		}
	}
}

// tell says when the file cannot be written, once, and when it can again. What could not be written stays marked and is
// tried again.
func (s *Store) tell(err error) {
	switch {
	case err != nil && !s.failing:
		s.log.Error("the state cannot be written; it is kept in memory and tried again", "error", err)
	case err == nil && s.failing:
		s.log.Warn("the state is written again")
	}
	s.failing = err != nil
}

// Close writes everything and gives the file up. The second call does nothing.
func (s *Store) Close() error {
	s.once.Do(func() {
		if s.file == nil {
			return
		}
		close(s.end)
		<-s.done
		s.err = errors.Join(s.flush(true), s.file.close())
	})
	return s.err
}

// cursors are the positions of the pools.
type cursors struct {
	mu    sync.Mutex // guards both
	at    map[string]int64
	dirty map[string]bool
}

// Advance never fails.
func (s *Store) Advance(_ context.Context, pool string, n int64) (int64, error) {
	c := &s.cursors
	c.mu.Lock()
	defer c.mu.Unlock()
	first := c.at[pool]
	c.at[pool] = first + n
	if c.dirty == nil {
		c.dirty = map[string]bool{}
	}
	c.dirty[pool] = true
	return first, nil
}

// claims are who probes what.
type claims struct {
	mu    sync.Mutex // guards until
	until map[state.Subject]time.Time
}

// Claim never fails.
func (s *Store) Claim(_ context.Context, subject state.Subject, ttl time.Duration) (bool, error) {
	c, now := &s.claims, s.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.Before(c.until[subject]) {
		return false, nil
	}
	for old, until := range c.until {
		if !now.Before(until) {
			delete(c.until, old)
		}
	}
	c.until[subject] = now.Add(ttl)
	return true, nil
}

// Release never fails. There is one instance, so every claim is its own.
func (s *Store) Release(_ context.Context, subject state.Subject) error {
	s.claims.mu.Lock()
	defer s.claims.mu.Unlock()
	delete(s.claims.until, subject)
	return nil
}
