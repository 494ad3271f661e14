package admin

import (
	"context"
	"sync"
	"time"

	"openai-api-proxy/pkg/state"
)

// recent is how old the totals in a list may be. To read them takes a while when there are many keys.
const recent = time.Second

// ledger keeps the usage totals for a moment, by what they are of.
type ledger struct {
	meter meter

	mu   sync.Mutex // guards the rest; held while the meter is asked, so that it is asked once
	read time.Time
	held used
}

// used are totals by id.
type used struct {
	all     []state.Usage
	keys    map[string]int // where in all
	clients map[string]int
}

// get returns the totals of a moment ago. A state that is away leaves the last ones that are known, or none at all.
func (l *ledger) get(ctx context.Context) used {
	l.mu.Lock()
	defer l.mu.Unlock()
	if time.Since(l.read) < recent {
		return l.held
	}
	totals, err := l.meter.Totals(ctx)
	if err != nil {
		return l.held
	}
	held := used{all: totals.Usage, keys: make(map[string]int, len(totals.Usage)), clients: map[string]int{}}
	for i := range totals.Usage {
		switch u := &totals.Usage[i]; u.Kind {
		case state.OfKey:
			held.keys[u.ID] = i
		case state.OfClient:
			held.clients[u.ID] = i
		}
	}
	l.held, l.read = held, time.Now()
	return held
}

// usageSummary is what a key or client used, in short.
type usageSummary struct {
	Requests    int64   `json:"requests"`
	Failures    int64   `json:"failures"`
	SuccessRate float64 `json:"successRate"`
}

// of is the summary of an id; nil when nothing is known of any. index is one of the maps.
func (u used) of(index map[string]int, id string) *usageSummary {
	if index == nil {
		return nil
	}
	s := &usageSummary{SuccessRate: 1}
	if i, found := index[id]; found {
		n := &u.all[i].Counts
		s.Requests, s.Failures, s.SuccessRate = n.Requests, n.Failures, rate(n)
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
