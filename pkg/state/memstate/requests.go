package memstate

import (
	"context"
	"math"
	"slices"
	"sync"
	"time"

	"openai-api-proxy/pkg/state"
)

// mostRecent and mostRecentBytes bound the requests in memory. With a file these are the ones that are not yet written,
// without one all.
const (
	mostRecent      = 10_000
	mostRecentBytes = 64 << 20
)

// kept is a remembered request. It never changes.
type kept struct {
	at   state.Position
	text []byte // see state.Request.Pack
}

type requests struct {
	mu     sync.Mutex // guards all below
	last   state.Position
	bytes  int    // of recent
	most   int    // of recent
	recent []kept // oldest first; taken from at its ends only, so that a copy of the slice stays as it is
}

// add remembers requests. Their numbers have no gaps, and their times do not go back.
func (r *requests) add(texts [][]byte, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, text := range texts {
		r.last = state.Position{Ms: max(r.last.Ms, uint64(now.UnixMilli())), Seq: r.last.Seq + 1}
		r.recent = append(r.recent, kept{r.last, text})
		r.bytes += len(text)
	}
	for len(r.recent) > r.most || r.bytes > mostRecentBytes {
		r.dropLocked()
	}
}

// dropLocked drops the oldest.
func (r *requests) dropLocked() {
	r.bytes -= len(r.recent[0].text)
	r.recent = r.recent[1:]
}

func (r *requests) all() []kept {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.recent
}

// written forgets what is in the file now.
func (r *requests) written(now []kept) {
	if len(now) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	last := now[len(now)-1].at
	for len(r.recent) > 0 && !last.Before(r.recent[0].at) {
		r.dropLocked()
	}
	if len(r.recent) == 0 {
		r.recent = nil
	}
}

// Requests reads from the newest on.
func (s *Store) Requests(_ context.Context, q state.RequestQuery) (state.Page, error) {
	page, err := state.Fill(q, s.mostScanned)
	if err != nil {
		return state.Page{}, err
	}
	more := false
	err = s.latest(spanOf(q, s.now()), func(k kept) bool {
		if more = page.Full(); !more {
			page.Add(k.at.String(), k.text)
		}
		return !more
	})
	if err != nil {
		return state.Page{}, err
	}
	if !more {
		page.End()
	}
	return page.Page, nil
}

// latest shows what is in memory, and then what is in the file and older, newest first, as long as see wants more.
func (s *Store) latest(asked span, see func(kept) bool) error {
	recent := s.requests.all() // before the file is read: what is written meanwhile is in both, and passed over there
	for _, k := range slices.Backward(recent) {
		if asked.holds(k.at) && !see(k) {
			return nil
		}
	}
	if len(recent) > 0 && recent[0].at.Before(asked.before) {
		asked.before = recent[0].at
	}
	return s.reading(func(r reader) error {
		r.requests(asked, see)
		return nil
	})
}

// span is from one position to another, without either.
type span struct{ after, before state.Position }

func spanOf(q state.RequestQuery, now time.Time) span {
	// A fill has checked the texts; of an empty one there is no position.
	asked := span{state.Position{Ms: uint64(now.Add(-state.RequestsKept).UnixMilli())}, state.Position{Ms: math.MaxUint64}}
	if since, err := state.ParsePosition(q.Since); err == nil && asked.after.Before(since) {
		asked.after = since
	}
	if before, err := state.ParsePosition(q.After); err == nil {
		asked.before = before
	}
	return asked
}

func (s span) holds(p state.Position) bool { return s.after.Before(p) && p.Before(s.before) }
