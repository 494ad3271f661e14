package redisstate

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"openai-api-proxy/pkg/redistest"
	"openai-api-proxy/pkg/state"
	"openai-api-proxy/pkg/state/statetest"
)

// emptied is a Store over servers that were told to forget everything.
func emptied(t *testing.T, url string, servers ...*redistest.Server) *Store {
	t.Helper()
	for _, server := range servers {
		if err := server.Do("FLUSHALL"); err != nil {
			t.Fatal(err)
		}
	}
	s := opened(t, url)
	s.catalog.versionsKept, s.catalog.notesKept = statetest.LowBounds.Versions, statetest.LowBounds.Notes
	return s
}

func TestCatalog(t *testing.T) {
	server := redistest.Start(t)
	statetest.RunCatalog(t, func(t *testing.T) state.Store { return emptied(t, server.URL(), server) })
}

// An Apply that comes twice, as the library sends it in a Cluster when an answer is lost, is applied once.
func TestApplyTwice(t *testing.T) {
	server := redistest.Start(t)
	s := opened(t, server.URL())
	args := []any{0, "{}", 10, 10, tokenLife.Milliseconds(), "nobody", "key/a", state.Nothing, ":value"}
	for range 3 {
		reply, err := s.catalog.apply.Run(t.Context(), s.slow, s.applyKeys("token"), args...).Slice()
		if version, err2 := applied(reply, nil); err != nil || err2 != nil || version != 1 {
			t.Fatalf("%v, %v, %v", reply, err, err2)
		}
	}
	if all, _, err := s.Notes(t.Context(), "", 10); err != nil || len(all) != 1 {
		t.Errorf("%d notes, %v", len(all), err)
	}
}

// An Apply whose answer was lost says that it may have been made, and is not repeated; one that was never sent says no such
// thing.
func TestApplyIsUncertain(t *testing.T) {
	server := redistest.Start(t)
	s := opened(t, server.URL())
	change := []state.Change{{Kind: state.KeyItem, ID: "a", Value: []byte("1"), Expect: state.Anything}}
	if _, err := s.Apply(t.Context(), 0, change, state.Note{}); err != nil {
		t.Fatal(err)
	}
	thaw := freeze(s, server)
	_, err := s.Apply(t.Context(), 1, change, state.Note{}) // sent, and run when the server goes on
	thaw()
	if !errors.Is(err, state.ErrUnavailable) || !errors.Is(err, state.ErrUncertain) {
		t.Errorf("after a lost answer: %v", err)
	}
	eventually(t, func() bool {
		_, version, err := s.Items(t.Context())
		if version > 2 {
			t.Fatalf("applied twice: version %d", version)
		}
		return err == nil && version == 2
	})
	server.Kill()
	time.Sleep(2 * guardRest)
	if _, err := s.Apply(t.Context(), 2, change, state.Note{}); !errors.Is(err, state.ErrUnavailable) || errors.Is(err, state.ErrUncertain) {
		t.Errorf("nobody was there: %v", err)
	}
}

// A key of another type, or a log that is ahead, refuses all of a change.
func TestForeignCatalog(t *testing.T) {
	server := redistest.Start(t)
	change := []state.Change{{Kind: state.KeyItem, ID: "a", Value: []byte("1"), Expect: state.Nothing}}
	for _, foreign := range [][]string{
		{"SET", "oap:{cfg}:items", "x"},
		{"HSET", "oap:{cfg}:version", "x", "y"},
		{"SET", "oap:{cfg}:version", "many"},
		{"SET", "oap:{cfg}:log", "x"},
		{"SET", "oap:{cfg}:notes", "x"},
		{"XADD", "oap:{cfg}:log", "7-0", "names", "key/b"},
	} {
		s := emptied(t, server.URL(), server)
		server.Do(foreign...)
		if version, err := s.Apply(t.Context(), 0, change, state.Note{}); !errors.Is(err, state.ErrUnavailable) || errors.Is(err, state.ErrUncertain) {
			t.Errorf("%v: %d, %v", foreign, version, err)
		}
		if keys := server.Keys("oap:*"); len(keys) != 1 {
			t.Errorf("%v: something was written: %v", foreign, keys)
		}
	}
}

// A Redis that is emptied while replicas run gets everything back from one of them, and all follow again.
func TestFlushedAndRestored(t *testing.T) {
	server := redistest.Start(t)
	one, two := opened(t, server.URL()), opened(t, server.URL())
	var changes []state.Change
	for i := range 1234 {
		changes = append(changes, state.Change{Kind: state.ClientItem, ID: fmt.Sprint("c", i), Value: []byte{0, byte(i)}})
	}
	if _, err := one.Apply(t.Context(), 0, changes, state.Note{}); err != nil {
		t.Fatal(err)
	}
	known, version, err := one.Items(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	server.Do("FLUSHALL")
	var racing sync.WaitGroup
	for _, s := range []*Store{one, two} { // both notice
		racing.Go(func() {
			if err := s.Restore(t.Context(), known, version); err != nil {
				t.Error(err)
			}
		})
	}
	racing.Wait()
	found, now, err := two.Items(t.Context())
	if err != nil || now != version+state.RestoreLeap || !reflect.DeepEqual(sorted(found), sorted(known)) {
		t.Errorf("version %d, %d items of %d, %v", now, len(found), len(known), err)
	}
	if keys := server.Keys("oap:{cfg}:*"); len(keys) != 2 {
		t.Errorf("something is left over, or missing: %v", keys)
	}
	for _, key := range []string{"oap:{cfg}:items", "oap:{cfg}:version"} {
		if life, _ := one.slow.TTL(t.Context(), key).Result(); life != -1 {
			t.Errorf("%s ends in %v", key, life)
		}
	}
}

func sorted(items []state.Item) []state.Item {
	slices.SortFunc(items, func(a, b state.Item) int { return strings.Compare(a.Kind+"/"+a.ID, b.Kind+"/"+b.ID) })
	return items
}

// What is not all there is not put in the place of anything.
func TestRestoreIsWhole(t *testing.T) {
	server := redistest.Start(t)
	s := opened(t, server.URL())
	if _, err := s.Apply(t.Context(), 0, []state.Change{{Kind: "key", ID: "a", Value: []byte("1")}}, state.Note{}); err != nil {
		t.Fatal(err)
	}
	keys := []string{s.keys.items(), s.keys.catalogVersion(), s.keys.catalogLog(), s.keys.restoring("x")}
	server.Do("HSET", keys[3], "key/b", "5:1")
	if err := s.catalog.restore.Run(t.Context(), s.slow, keys, 7, 1007, 2, "nobody").Err(); err == nil {
		t.Error("one of two items was enough")
	}
	if items, version, err := s.Items(t.Context()); err != nil || version != 1 || len(items) != 1 || items[0].ID != "a" {
		t.Errorf("%+v, %d, %v", items, version, err)
	}
}

// How long Redis is busy with the largest change, and how long a large catalog takes to read, is printed.
func TestLargeCatalog(t *testing.T) {
	server := redistest.Start(t)
	s := opened(t, server.URL())
	const all = 50_000
	var version int64
	for from := 0; from < all; from += state.MostChanges {
		changes := make([]state.Change, state.MostChanges)
		for i := range changes {
			changes[i] = state.Change{Kind: state.KeyItem, ID: fmt.Sprintf("key-%010x", from+i), Expect: state.Nothing,
				Value: bytes.Repeat([]byte{byte(i)}, 600)}
		}
		begin := time.Now()
		v, err := s.Apply(t.Context(), version, changes, state.Note{})
		if err != nil {
			t.Fatal(err)
		}
		version = v
		t.Logf("%d changes: answered after %v", len(changes), time.Since(begin).Round(100*time.Microsecond))
	}
	t.Logf("scripts: %s", stat(t, s, "evalsha", "eval"))
	for range 2 {
		begin := time.Now()
		items, _, err := s.Items(t.Context())
		if err != nil || len(items) != all {
			t.Fatalf("%d items, %v", len(items), err)
		}
		t.Logf("%d items of 600 bytes read in %v", all, time.Since(begin).Round(time.Millisecond))
	}
	items, _, _ := s.Items(t.Context())
	t.Logf("reading: %s", stat(t, s, "hkeys", "hmget"))
	server.Do("FLUSHALL")
	begin := time.Now()
	if err := s.Restore(t.Context(), items, version); err != nil {
		t.Fatal(err)
	}
	t.Logf("restored in %v", time.Since(begin).Round(time.Millisecond))
	if again, _, err := s.Items(t.Context()); err != nil || len(again) != all {
		t.Errorf("%d items, %v", len(again), err)
	}
}

// stat is what Redis counted of some commands.
func stat(t *testing.T, s *Store, commands ...string) (lines []string) {
	t.Helper()
	info, err := s.slow.Info(t.Context(), "commandstats").Result()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.SplitSeq(info, "\r\n") {
		for _, c := range commands {
			if strings.HasPrefix(line, "cmdstat_"+c+":") {
				lines = append(lines, line)
			}
		}
	}
	return lines
}

// Who reads while Redis forgets everything and is restored sees all of it or nothing, never a part, and nothing as deleted.
func TestReadWhileRestored(t *testing.T) {
	server := redistest.Start(t)
	one, two := opened(t, server.URL()), opened(t, server.URL())
	const all = 3000
	known := make([]state.Item, all)
	for i := range known {
		known[i] = state.Item{Kind: state.KeyItem, ID: fmt.Sprint("k", i), Revision: 1, Value: []byte("x")}
	}
	if err := one.Restore(t.Context(), known, 1); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	var reading sync.WaitGroup
	reading.Go(func() {
		defer close(read)
		for range 150 {
			items, version, err := two.Items(t.Context())
			if err != nil && !errors.Is(err, state.ErrUnavailable) || err == nil && len(items) != all && (version > 0 || len(items) > 0) {
				t.Errorf("%d items at version %d, %v", len(items), version, err)
			}
			changed, _, err := two.Since(t.Context(), version)
			if err == nil && slices.ContainsFunc(changed, func(i state.Item) bool { return i.Deleted }) {
				t.Errorf("%d items changed since %d, some are gone", len(changed), version)
			}
		}
	})
	restores, version := 0, int64(1+state.RestoreLeap)
	for done := false; !done; {
		select {
		case <-read:
			done = true
		default:
			server.Do("FLUSHALL")
			if err := one.Restore(t.Context(), known, version); err != nil {
				t.Error(err)
			}
			var touched []state.Change
			for _, i := range known[:all/2] {
				touched = append(touched, state.Change{Kind: i.Kind, ID: i.ID, Value: i.Value, Expect: state.Anything})
			}
			var err error
			if version, err = one.Apply(t.Context(), 0, touched, state.Note{}); err != nil {
				t.Error(err)
			}
			restores++
		}
	}
	reading.Wait()
	t.Logf("read 150 times during %d restores", restores)
}
