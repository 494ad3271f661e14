package memstate

import (
	"context"
	"sync"
	"time"

	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
)

// mostRests bounds the rests that are kept; beyond it those that end soonest are forgotten.
const mostRests = 100_000

type rests struct {
	mu    sync.Mutex // guards both
	all   map[state.Subject]state.Rest
	dirty map[state.Subject]bool
}

func (r *rests) touchLocked(s state.Subject) {
	if r.dirty == nil {
		r.dirty = map[state.Subject]bool{}
	}
	r.dirty[s] = true
}

// Rest never fails.
func (s *Store) Rest(_ context.Context, rest state.Rest) error {
	r := &s.rests
	r.mu.Lock()
	defer r.mu.Unlock()
	if old, found := r.all[rest.Subject]; found && !old.Until.Before(rest.Until) {
		return nil
	}
	if len(r.all) >= mostRests {
		r.shrinkLocked(s.now())
	}
	r.all[rest.Subject] = rest
	r.touchLocked(rest.Subject)
	return nil
}

// shrinkLocked forgets what is forgotten anyway, or else what ends soonest.
func (r *rests) shrinkLocked(now time.Time) {
	var soonest state.Subject
	var end time.Time
	for subject, rest := range r.all {
		if now.Sub(rest.Until) >= state.RestMemory {
			delete(r.all, subject)
			r.touchLocked(subject)
		} else if end.IsZero() || rest.Until.Before(end) {
			soonest, end = subject, rest.Until
		}
	}
	if len(r.all) >= mostRests {
		delete(r.all, soonest)
		r.touchLocked(soonest)
	}
}

// Wake never fails.
func (s *Store) Wake(_ context.Context, subject state.Subject) error {
	r := &s.rests
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.all, subject)
	r.touchLocked(subject)
	if subject.Scope == proxy.ByKey {
		s.seen.mu.Lock()
		delete(s.seen.keys, subject.ID)
		s.seen.mu.Unlock()
	}
	return nil
}

// Rests never fails.
func (s *Store) Rests(context.Context) ([]state.Rest, error) {
	r, now := &s.rests, s.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	found := make([]state.Rest, 0, len(r.all))
	for subject, rest := range r.all {
		if now.Sub(rest.Until) >= state.RestMemory {
			delete(r.all, subject)
			r.touchLocked(subject)
			continue
		}
		found = append(found, rest)
	}
	return found, nil
}

const (
	bucketWidth = 3 * time.Second
	buckets     = int64(state.FailureWindow / bucketWidth)
)

// seen is what was seen of keys in the last seconds. It is not written: a restart gives every key a new chance.
type seen struct {
	mu   sync.Mutex // guards keys
	keys map[string]*window
}

// window is a ring of buckets.
type window struct {
	last    int64 // number of the newest bucket
	buckets [buckets]state.Attempts
}

// Fail never fails.
func (s *Store) Fail(_ context.Context, key string, a state.Attempts) (state.Attempts, error) {
	s.seen.mu.Lock()
	defer s.seen.mu.Unlock()
	w := s.seen.keys[key]
	if w == nil {
		w = &window{}
		s.seen.keys[key] = w
	}
	return w.add(s.now().UnixNano()/int64(bucketWidth), a), nil
}

// add adds to the bucket and returns the sums of all.
func (w *window) add(bucket int64, a state.Attempts) (sum state.Attempts) {
	for ; w.last < bucket && bucket-w.last <= buckets; w.last++ {
		w.buckets[(w.last+1)%buckets] = state.Attempts{}
	}
	if w.last < bucket {
		*w = window{last: bucket}
	}
	now := &w.buckets[w.last%buckets]
	now.Attempts += a.Attempts
	now.Failures += a.Failures
	for _, b := range w.buckets {
		sum.Attempts += b.Attempts
		sum.Failures += b.Failures
	}
	return sum
}

// prune forgets keys of which nothing was seen in the whole window.
func (s *seen) prune(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, w := range s.keys {
		if now.UnixNano()/int64(bucketWidth)-w.last > buckets {
			delete(s.keys, key)
		}
	}
}
