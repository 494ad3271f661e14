package memstate

import (
	"context"
	"sync"
	"time"

	"openai-api-proxy/pkg/state"
)

type usageName struct {
	kind state.Kind
	id   string
}

type usage struct {
	mu    sync.Mutex // guards all below
	since time.Time
	all   map[usageName]*state.Counts
	dirty map[usageName]bool
}

// Count fails if a step that is not in memory cannot be read.
func (s *Store) Count(_ context.Context, b state.Batch) error {
	s.counting.Lock()
	defer s.counting.Unlock()
	if s.sources.has(b) {
		return nil
	}
	if len(b.Series) > 0 {
		if err := s.addSeries(b.At, b.Series); err != nil {
			return err
		}
	}
	s.usage.add(b.Totals)
	s.requests.add(b.Requests, s.now())
	s.sources.took(b, s.now(), s.file == nil)
	return nil
}

func (u *usage) add(more []state.Usage) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.dirty == nil {
		u.dirty = map[usageName]bool{}
	}
	for _, m := range more {
		name := usageName{m.Kind, m.ID}
		held := u.all[name]
		if held == nil {
			held = new(state.Counts)
			u.all[name] = held
		}
		held.Plus(m.Counts)
		u.dirty[name] = true
	}
}

// Totals never fails.
func (s *Store) Totals(context.Context) (state.Totals, error) {
	u := &s.usage
	u.mu.Lock()
	defer u.mu.Unlock()
	t := state.Totals{Since: u.since, Usage: make([]state.Usage, 0, len(u.all))}
	for name, counts := range u.all {
		t.Usage = append(t.Usage, state.Usage{Kind: name.kind, ID: name.id, Counts: *counts})
	}
	return t, nil
}
