package usage

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"openai-api-proxy/pkg/journal"
	"openai-api-proxy/pkg/redistest"
	"openai-api-proxy/pkg/state"
	"openai-api-proxy/pkg/state/memstate"
	"openai-api-proxy/pkg/state/redisstate"
)

// keeping makes a Meter with a journal that writes and replays when it is told to.
func keeping(t fataler, store state.History, dir journal.Dir) *Meter {
	t.Helper()
	o := options(&bytes.Buffer{})
	o.Journal = dir
	m := newMeter(store, o)
	if m.own.Load() == nil {
		t.Fatalf("no journal: %v", m.JournalError())
	}
	return m
}

type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// killed ends a Meter as the end of its process does: what is in memory is gone.
func (m *Meter) killed() {
	m.own.Load().Close()
	if j := m.adopted.journal; j != nil {
		j.Close()
	}
}

// wire stands between a Meter and its store, and may be cut on the way there or back.
type wire struct {
	state.History
	there, back bool // it is cut
}

func (w *wire) Count(ctx context.Context, b state.Batch) error {
	if w.there {
		return away()
	}
	if err := w.History.Count(ctx, b); err != nil || !w.back {
		return err
	}
	return away()
}

// world is a store, and how its process ends, as far as it is that of the proxy.
type world struct {
	store state.Store
	kill  func() state.Store // the store as the next process finds it
	flush time.Duration      // after which all is in its file
}

// manyKills kills a Meter at any time and has the next one go on, and checks that each record was counted and is remembered
// once.
func manyKills(t *rapid.T, dir journal.Dir, w world) {
	line := &wire{History: w.store}
	m := keeping(t, line, dir)
	want, ids := sums{}, map[string]bool{}
	replay := func() {
		for m.replay(context.Background()) {
		}
	}
	t.Repeat(map[string]func(*rapid.T){
		"record": func(t *rapid.T) {
			for range rapid.SampledFrom([]int{1, 3, 50}).Draw(t, "records") {
				rec := drawRecord(t)
				rec.ID, rec.Start = fmt.Sprintf("req_%d", len(ids)), time.Now().Add(-rec.Total)
				model := m.names.of(rec)
				m.Record(rec)
				want.add(rec, model)
				ids[rec.ID] = true
			}
		},
		"write":     func(t *rapid.T) { _ = m.flush(context.Background()) },
		"cut":       func(t *rapid.T) { line.there = true },
		"cut back":  func(t *rapid.T) { line.back = true },
		"mend":      func(t *rapid.T) { line.there, line.back = false, false },
		"time":      func(t *rapid.T) { time.Sleep(w.flush) },
		"goes over": func(t *rapid.T) { replay() },
		"kill": func(t *rapid.T) {
			m.killed()
			line = &wire{History: w.kill()}
			m = keeping(t, line, dir)
		},
	})
	line.there, line.back = false, false
	if err := m.flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(2 * time.Minute); journalsIn(dir) > 1; time.Sleep(20 * time.Millisecond) {
		replay()
		if time.Now().After(end) {
			t.Fatalf("%d journals are left", journalsIn(dir))
		}
	}
	checkWorld(t, line, want, ids)
	m.killed()
}

func journalsIn(dir journal.Dir) int {
	all, _ := os.ReadDir(dir.Path)
	return len(all)
}

// checkWorld checks what a store holds.
func checkWorld(t *rapid.T, store state.History, want sums, ids map[string]bool) {
	totals, err := store.Totals(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(totals.Usage, func(a, b state.Usage) int { return whose{a.Kind, a.ID}.compare(whose{b.Kind, b.ID}) })
	if got := totals.Usage; !reflect.DeepEqual(got, want.totals()) && len(got)+len(want) > 0 {
		t.Fatalf("counted\n%+v\nwant\n%+v", got, want.totals())
	}
	seen, after := map[string]bool{}, ""
	for {
		page, err := store.Requests(context.Background(), state.RequestQuery{Limit: 1000, After: after})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page.Requests {
			if seen[r.ID] {
				t.Fatalf("%s is remembered twice", r.ID)
			}
			seen[r.ID] = true
		}
		if after = page.Next; after == "" {
			break
		}
	}
	if !reflect.DeepEqual(seen, ids) {
		t.Fatalf("%d requests are remembered, want %d", len(seen), len(ids))
	}
}

func TestKillsWithEmbeddedState(t *testing.T) {
	base := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		runs := 0
		inside := struct{ testing.TB }{t} // without the deadline, for which there is no clock here
		rapid.Check(inside, func(rt *rapid.T) {
			runs++
			dir := filepath.Join(base, fmt.Sprint(runs))
			manyKills(rt, journal.Dir{Path: filepath.Join(dir, "journal")}, embedded(rt, dir))
		})
	})
}

// embedded is a state with a file. A kill leaves the file as it was last written.
func embedded(t *rapid.T, dir string) (w world) {
	lives := 0
	var now *memstate.Store
	open := func() *memstate.Store {
		s, err := memstate.Open(filepath.Join(dir, fmt.Sprint(lives)))
		if err != nil {
			t.Fatal(err)
		}
		now = s
		return s
	}
	w.store, w.flush = open(), 1100*time.Millisecond
	w.kill = func() state.Store {
		name := func() string { return filepath.Join(dir, fmt.Sprint(lives), "state.db") }
		text, err := os.ReadFile(name())
		if err != nil {
			t.Fatal(err)
		}
		now.Close()
		lives++
		os.MkdirAll(filepath.Dir(name()), 0o700)
		if err := os.WriteFile(name(), text, 0o600); err != nil {
			t.Fatal(err)
		}
		return open()
	}
	t.Cleanup(func() { now.Close() })
	return w
}

func TestKillsWithRedis(t *testing.T) {
	server := redistest.Start(t)
	runs := 0
	rapid.Check(t, func(rt *rapid.T) {
		runs++
		if err := server.Do("FLUSHALL"); err != nil {
			rt.Fatal(err)
		}
		manyKills(rt, journal.Dir{Path: filepath.Join(t.TempDir(), fmt.Sprint(runs))}, shared(rt, server))
	})
}

// shared is a state in Redis, which goes on when the proxy is killed.
func shared(t *rapid.T, server *redistest.Server) (w world) {
	var now *redisstate.Store
	open := func() *redisstate.Store {
		s, err := redisstate.Open(server.URL(), "oap", "v1", options(&bytes.Buffer{}).Log)
		if err != nil {
			t.Fatal(err)
		}
		now = s
		return s
	}
	w.store = open()
	w.kill = func() state.Store { now.Close(); return open() }
	t.Cleanup(func() { now.Close() })
	return w
}
