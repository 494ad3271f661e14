package usage

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"openai-api-proxy/pkg/state"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shelf is a store that adds up, unless it is told to fail or to hang. What it does not do itself another does.
type shelf struct {
	state.History
	mu      sync.Mutex // guards the rest
	sums    sums
	batches []state.Batch
	err     error         // answers every call while it is set
	block   chan struct{} // Count waits for it, whatever its context says
	calls   int           // of Count
}

func newShelf() *shelf { return &shelf{sums: sums{}} }

func (s *shelf) Count(_ context.Context, b state.Batch) error {
	s.mu.Lock()
	block := s.block
	s.calls++
	s.mu.Unlock()
	if block != nil {
		<-block
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	s.sums.merge(b.Totals)
	s.batches = append(s.batches, b)
	return nil
}

func (s *shelf) Counted(source string) (last int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.batches {
		if b.Source == source {
			last = max(last, b.Number)
		}
	}
	return last
}

func (s *shelf) Totals(context.Context) (state.Totals, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	usage := s.sums.list()
	slices.Reverse(usage) // a store need not sort
	return state.Totals{Usage: usage}, s.err
}

func (s *shelf) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *shelf) called() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls
}

func away() error { return fmt.Errorf("dial: %w", state.ErrUnavailable) }

// still makes a Meter that writes only when flush is called, and logs to the buffer.
func still(s *shelf) (*Meter, *bytes.Buffer) {
	var log bytes.Buffer
	return newMeter(s, options(&log)), &log
}

func options(log *bytes.Buffer) Options {
	return Options{Log: slog.New(slog.NewTextHandler(log, nil)), Metrics: prometheus.NewRegistry()}
}

func value(t testing.TB, c prometheus.Counter) int {
	t.Helper()
	reg := prometheus.NewRegistry()
	reg.MustRegister(c)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return int(families[0].GetMetric()[0].GetCounter().GetValue())
}
