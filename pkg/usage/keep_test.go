package usage

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"openai-api-proxy/pkg/journal"
	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
	"openai-api-proxy/pkg/state/memstate"
)

// numbered is a finished request that is like all others but for its id.
func numbered(i int) *proxy.Record {
	rec := *served
	rec.ID, rec.Start = fmt.Sprintf("req_%d", i), time.Now().Add(-rec.Total)
	return &rec
}

// In an outage that lasts the journal has the requests for which memory has no room. Then they are all sent, each minute's by
// itself, in their order.
func TestLongOutageWithAJournal(t *testing.T) {
	dir := journal.Dir{Path: t.TempDir()}
	synctest.Test(t, func(t *testing.T) {
		s := newShelf()
		m := keeping(t, s, dir)
		s.fail(away())
		const minutes, each = 4, 2*mostRows + 100
		for range minutes {
			for i := range each {
				m.Record(numbered(i))
				if i%1000 == 0 && m.flush(context.Background()) == nil {
					t.Fatal("written in an outage")
				}
			}
			_ = m.flush(context.Background())
			time.Sleep(time.Minute)
		}
		if m.pending.held > mostHeld {
			t.Errorf("%d requests are in memory", m.pending.held)
		}
		s.fail(nil)
		if err := m.flush(context.Background()); err != nil {
			t.Fatal(err)
		}
		seen := map[time.Time]int{}
		for i, b := range s.batches {
			if b.Number != int64(i+1) || b.Source != m.own.Load().Source() || len(b.Requests) > mostRows {
				t.Errorf("batch %d has the number %d and %d requests", i, b.Number, len(b.Requests))
			}
			for _, text := range b.Requests {
				r, err := state.UnpackRequest(text)
				if err != nil {
					t.Fatal(err)
				}
				if want := fmt.Sprintf("req_%d", seen[b.At]); r.ID != want {
					t.Fatalf("%s where %s belongs", r.ID, want)
				}
				seen[b.At]++
			}
		}
		if n := value(t, m.forgotten); n != 0 || len(seen) != minutes || s.sums.requests() != minutes*each {
			t.Errorf("%d requests in %d minutes, %d forgotten", s.sums.requests(), len(seen), n)
		}
		for minute, n := range seen {
			if n != each {
				t.Errorf("%d requests in the minute %s", n, minute)
			}
		}
		m.killed()
	})
}

// What is beyond the bound of the journal is counted in memory, and the journal goes on when there is room.
func TestFullJournal(t *testing.T) {
	s := newShelf()
	m := keeping(t, s, journal.Dir{Path: t.TempDir(), Most: 50_000})
	s.fail(away())
	const n = 1000
	for i := range n {
		m.Record(numbered(i))
	}
	if err := m.JournalError(); err == nil || !strings.Contains(err.Error(), "full") {
		t.Errorf("it says %v", err)
	}
	over := value(t, m.unkept)
	if over < 200 || over > 800 {
		t.Errorf("%d of %d do not fit", over, n)
	}
	s.fail(nil)
	if err := m.flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	loose := 0
	for _, b := range s.batches {
		if b.Source == "" {
			loose += len(b.Requests)
		}
	}
	if s.sums.requests() != n || loose != over {
		t.Errorf("%d requests are counted, %d of them from memory, %d expected", s.sums.requests(), loose, over)
	}
	m.killed()
}

// While the disk hangs requests end all the same, and are counted.
func TestHangingDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShelf()
		m := keeping(t, s, journal.Dir{Path: t.TempDir()})
		m.line <- struct{}{} // somebody's write hangs
		start := time.Now()
		for i := range 100 {
			m.Record(numbered(i))
		}
		if took := time.Since(start); took > 2*diskPatience {
			t.Errorf("took %v", took)
		}
		if m.JournalError() == nil || value(t, m.unkept) != 100 {
			t.Errorf("told of %d, %v", value(t, m.unkept), m.JournalError())
		}
		if err := m.flush(context.Background()); err != nil || s.sums.requests() != 100 {
			t.Errorf("%d are counted, %v", s.sums.requests(), err)
		}
		<-m.line
		m.Record(numbered(100))
		if err := m.JournalError(); err != nil || value(t, m.unkept) != 100 {
			t.Errorf("after it: %v", err)
		}
		if err := m.flush(context.Background()); err != nil || s.sums.requests() != 101 {
			t.Errorf("%d are counted, %v", s.sums.requests(), err)
		}
		m.killed()
	})
}

// An end in good order leaves no journal, with a file that is written once a second too.
func TestLeaveNothing(t *testing.T) {
	for name, there := range map[string]bool{"there": true, "away": false} {
		t.Run(name, func(t *testing.T) {
			base := t.TempDir()
			dir := journal.Dir{Path: filepath.Join(base, "journal")}
			store, err := memstate.Open(base)
			if err != nil {
				t.Fatal(err)
			}
			line := &wire{History: store, there: !there}
			o := options(new(bytes.Buffer))
			o.Journal = dir
			m := New(line, o)
			for i := range 10 {
				m.Record(numbered(i))
			}
			if err := m.Close(); err != nil {
				t.Errorf("closed with %v, though all is in the journal", err)
			}
			if err := store.Close(); err != nil {
				t.Fatal(err)
			}
			if err := m.Leave(); err != nil {
				t.Fatal(err)
			}
			if left, _ := os.ReadDir(dir.Path); (len(left) == 0) != there {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// A batch that was marked longer ago than a store remembers is left out: it may have been counted.
func TestOldBatchIsLeftOut(t *testing.T) {
	dir := journal.Dir{Path: t.TempDir()}
	synctest.Test(t, func(t *testing.T) {
		s := newShelf()
		m := keeping(t, s, dir)
		m.Record(numbered(1))
		s.fail(away())
		_ = m.flush(context.Background()) // marked
		m.Record(numbered(2))
		m.killed()
		s.fail(nil)
		time.Sleep(state.SourceLife + time.Minute)
		again := keeping(t, s, dir)
		again.replay(context.Background())
		if n := value(t, again.damaged); n != 1 || s.sums.requests() != 1 {
			t.Errorf("%d left out, %d counted", n, s.sums.requests())
		}
		if !slices.ContainsFunc(s.batches, func(b state.Batch) bool { return b.Number == 2 }) {
			t.Errorf("%+v", s.batches)
		}
		again.killed()
	})
}
