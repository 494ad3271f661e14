package usage

import (
	"bytes"
	"fmt"
	"sync"
	"testing"
	"time"

	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
)

// ids are those of the requests that were written, in order.
func (s *shelf) ids(t *testing.T) (ids []string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.batches {
		for _, r := range unpacked(t, b) {
			ids = append(ids, r.ID)
		}
	}
	return ids
}

// Requests are packed in pieces, and each is what it would be alone.
func TestPackedTogether(t *testing.T) {
	s := newShelf()
	m, _ := still(s)
	const n = 2*packedTogether + 5
	var want [][]byte
	for i := range n {
		rec := numbered(i)
		rec.Model, rec.Cause = fmt.Sprint("m", i%3), string(bytes.Repeat([]byte{'x'}, i))
		if i == packedTogether {
			rec.Bodies = &proxy.Bodies{Request: string(bytes.Repeat([]byte{'y'}, 2*scratchKept))}
		}
		m.Record(rec)
		r := remembered(rec, m.replica, nil)
		want = append(want, r.Pack())
	}
	if err := m.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(s.batches) != 1 || len(s.batches[0].Requests) != n {
		t.Fatalf("%d batches", len(s.batches))
	}
	for i, got := range s.batches[0].Requests {
		if !bytes.Equal(got, want[i]) {
			t.Fatalf("request %d is\n%s\nand alone\n%s", i, got, want[i])
		}
		if cap(got) != len(got) {
			t.Fatal("who appends to one writes into the next")
		}
	}
}

// Who makes it too many sums them; they are not written by that.
func TestEndedAreBounded(t *testing.T) {
	s := newShelf()
	m, _ := still(s)
	for i := range 3*mostEnded + 10 {
		m.Record(numbered(i))
		if n := len(m.ended.waiting); n > mostEnded {
			t.Fatalf("%d wait", n)
		}
	}
	if n := m.pending.loose.sums().requests(); n == 0 || s.called() != 0 {
		t.Errorf("%d are summed, in %d writes", n, s.called())
	}
	if err := m.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, id := range s.ids(t) {
		if id != fmt.Sprintf("req_%d", i) {
			t.Fatalf("%s is request %d", id, i)
		}
	}
	if n := s.sums.requests(); n != 3*mostEnded+10 {
		t.Errorf("%d requests", n)
	}
}

// Many who record, write and read at the same time lose and double nothing.
func TestEndedTogether(t *testing.T) {
	s := newShelf()
	o := options(&bytes.Buffer{})
	o.Flush = time.Millisecond
	m := New(s, o)
	var all sync.WaitGroup
	const each = 3000
	for g := range 4 {
		all.Go(func() {
			for i := range each {
				m.Record(numbered(g*each + i))
			}
		})
	}
	all.Go(func() {
		for range 50 {
			totals, err := m.Totals(t.Context())
			if err != nil {
				t.Error(err)
			}
			for _, u := range totals.Usage {
				if u.Kind == state.OfAll && u.Requests > 4*each {
					t.Errorf("%d requests", u.Requests)
				}
			}
		}
	})
	all.Wait()
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, id := range s.ids(t) {
		seen[id] = true
	}
	if got := s.sums.requests(); got != 4*each || len(seen) != 4*each {
		t.Errorf("%d requests are counted and %d told, want %d", got, len(seen), 4*each)
	}
}
