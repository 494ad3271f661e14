package admin

import (
	"context"
	"sync"
	"time"

	"openai-api-proxy/pkg/state"
)

const (
	// recent is how old the totals in a list may be.
	recent = time.Second
	// readWithin bounds one reading of them.
	readWithin = 10 * time.Second
	// waitWhile is how long a list waits for newer ones when it could show older ones: with very many keys it takes a while.
	waitWhile = 50 * time.Millisecond
)

// ledger keeps the usage totals for a moment, by what they are of.
type ledger struct {
	meter meter
	every time.Duration // how old they may be
	wait  time.Duration

	mu      sync.Mutex // guards the rest; not held while the meter is asked
	read    time.Time
	held    used
	reading chan struct{} // closed when the reading that is under way is over; nil: none is
	closed  bool          // none begins any more

	readings sync.WaitGroup
}

// used are totals by id.
type used struct {
	all     []state.Usage
	keys    map[string]int // where in all; nil: nothing is known
	clients map[string]int
}

// get returns the totals of a moment ago. A state that is slow or away leaves the last ones that are known, or none at all.
func (l *ledger) get(ctx context.Context) used {
	l.mu.Lock()
	if time.Since(l.read) < l.every || l.closed {
		defer l.mu.Unlock()
		return l.held
	}
	if l.reading == nil {
		l.reading = make(chan struct{})
		l.readings.Go(l.refresh)
	}
	reading, patience := l.reading, l.wait
	if l.held.keys == nil {
		patience = readWithin
	}
	l.mu.Unlock()
	enough := time.NewTimer(patience)
	defer enough.Stop()
	select {
	case <-reading:
	case <-enough.C:
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.held
}

// close waits for the reading that is under way.
func (l *ledger) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.readings.Wait()
}

func (l *ledger) refresh() {
	ctx, cancel := context.WithTimeout(context.Background(), readWithin)
	defer cancel()
	totals, err := l.meter.Totals(ctx)
	held := used{all: totals.Usage, keys: make(map[string]int, len(totals.Usage)), clients: map[string]int{}}
	for i := range totals.Usage {
		switch u := &totals.Usage[i]; u.Kind {
		case state.OfKey:
			held.keys[u.ID] = i
		case state.OfClient:
			held.clients[u.ID] = i
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		l.held, l.read = held, time.Now()
	}
	close(l.reading)
	l.reading = nil
}

// usageSummary is what a key or client used, in short.
type usageSummary struct {
	Requests    int64   `json:"requests"`
	Failures    int64   `json:"failures"`
	SuccessRate float64 `json:"successRate"`
	spending
}

// of is the summary of an id; nil when nothing is known of any. index is one of the maps.
func (u used) of(index map[string]int, id string) *usageSummary {
	if index == nil {
		return nil
	}
	s := &usageSummary{SuccessRate: 1, spending: spending{CostUSD: dollars(0)}}
	if i, found := index[id]; found {
		n := &u.all[i].Counts
		s.Requests, s.Failures, s.SuccessRate = n.Requests, n.Failures, rate(n)
		s.spending = spendingOf(n)
	}
	return s
}

// amounts are requests and failures, to sort by.
func (u used) amounts(index map[string]int, id string) (requests, failures int64) {
	i, found := index[id]
	if !found {
		return 0, 0
	}
	return u.all[i].Requests, u.all[i].Failures
}

// rate is the share of successes of what succeeded or failed; 1 when there was neither.
func rate(n *state.Counts) float64 {
	if done := n.Successes + n.Failures; done > 0 {
		return float64(n.Successes) / float64(done)
	}
	return 1
}
