package statetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"openai-api-proxy/pkg/state"
)

// Bounds are what the catalog under test remembers: low, or the cases would take long.
type Bounds struct{ Versions, Notes int64 }

// LowBounds hold all that the cases need remembered, and little more.
var LowBounds = Bounds{Versions: 250, Notes: 120}

// RunCatalog tests the catalogs of the Stores that empty gives. Each call must give a Store over a state that holds
// nothing yet, and that remembers what LowBounds say.
func RunCatalog(t *testing.T, empty func(t *testing.T) state.Store) {
	for name, test := range map[string]func(t *testing.T, empty func(t *testing.T) state.Store){
		"read back":          alone(readBack),
		"expectations":       alone(expectations),
		"all or nothing":     alone(allChangesOrNone),
		"any bytes":          alone(anyBytes),
		"many changes":       alone(manyChanges),
		"mistakes":           alone(mistakes),
		"stale":              alone(stale),
		"gap":                alone(gap),
		"model":              alone(catalogModel),
		"writers, followers": alone(writersAndFollowers),
		"notes":              alone(notes),
		"notes are bounded":  alone(notesAreBounded),
		"caller who left":    alone(callerWhoLeft),
		"restore":            restore,
		"restore of nothing": restoreOfNothing,
		"restore and newer":  restoreLeavesNewerAlone,
	} {
		t.Run(name, func(t *testing.T) { test(t, empty) })
	}
}

// alone is a case that needs one state.
func alone(test func(t *testing.T, s state.Store)) func(*testing.T, func(t *testing.T) state.Store) {
	return func(t *testing.T, empty func(t *testing.T) state.Store) { test(t, empty(t)) }
}

func put(id, value string, expect int64) state.Change {
	return state.Change{Kind: state.KeyItem, ID: id, Value: []byte(value), Expect: expect}
}

func gone(id string, expect int64) state.Change {
	return state.Change{Kind: state.KeyItem, ID: id, Expect: expect}
}

func apply(t testing.TB, s state.Store, changes ...state.Change) int64 {
	t.Helper()
	version, err := s.Apply(t.Context(), 0, changes, state.Note{Actor: "admin", Action: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return version
}

// image is what a replica holds of a catalog: by "kind/id", "revision:value".
type image map[string]string

func (m image) take(items []state.Item) {
	for _, i := range items {
		name := i.Kind + "/" + i.ID
		if i.Deleted {
			delete(m, name)
		} else {
			m[name] = fmt.Sprintf("%d:%s", i.Revision, i.Value)
		}
	}
}

func imageOf(t testing.TB, s state.Store) (image, int64) {
	t.Helper()
	items, version, err := s.Items(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	m := image{}
	m.take(items)
	if len(m) != len(items) {
		t.Fatalf("%d items, %d of them different", len(items), len(m))
	}
	return m, version
}

func wantImage(t testing.TB, s state.Store, version int64, want image) {
	t.Helper()
	got, at := imageOf(t, s)
	if at != version || !maps.Equal(got, want) {
		t.Fatalf("version %d holds %.300v, want version %d with %.300v", at, got, version, want)
	}
}

func readBack(t *testing.T, s state.Store) {
	wantImage(t, s, 0, image{})
	if items, now, err := s.Since(t.Context(), 0); err != nil || now != 0 || len(items) != 0 {
		t.Fatalf("since nothing: %v, %d, %v", items, now, err)
	}
	apply(t, s, put("a", "1", state.Nothing), state.Change{Kind: state.ClientItem, ID: "a", Value: []byte("of a client")})
	apply(t, s, put("b", "2", state.Nothing))
	apply(t, s, put("a", "3", 1), gone("b", 2))
	wantImage(t, s, 3, image{"key/a": "3:3", "client/a": "1:of a client"})

	changed, now, err := s.Since(t.Context(), 1)
	if err != nil || now != 3 || len(changed) != 2 {
		t.Fatalf("%+v, %d, %v", changed, now, err)
	}
	slices.SortFunc(changed, func(a, b state.Item) int { return strings.Compare(a.ID, b.ID) })
	if a := changed[0]; a.ID != "a" || a.Revision != 3 || string(a.Value) != "3" || a.Deleted {
		t.Errorf("%+v", a)
	}
	if b := changed[1]; b.Kind != state.KeyItem || b.ID != "b" || !b.Deleted {
		t.Errorf("%+v", b)
	}
	apply(t, s, put("b", "again", state.Nothing)) // what was deleted may be made again
	if changed, _, _ := s.Since(t.Context(), 3); len(changed) != 1 || changed[0].Deleted || changed[0].Revision != 4 {
		t.Errorf("%+v", changed)
	}
}

func expectations(t *testing.T, s state.Store) {
	apply(t, s, put("there", "1", state.Anything))
	apply(t, s, put("there", "2", state.Anything))
	for _, c := range []struct {
		change   state.Change
		conflict int64 // revision that it names; -1: none
	}{
		{put("there", "x", state.Nothing), 2},
		{put("there", "x", 1), 2},
		{put("there", "x", 3), 2},
		{gone("there", 1), 2},
		{put("missing", "x", 1), state.Nothing},
		{gone("missing", 7), state.Nothing},
		{gone("missing", state.Anything), -1},
		{put("there", "x", 2), -1},
	} {
		before, version := imageOf(t, s)
		made, err := s.Apply(t.Context(), version, []state.Change{c.change}, state.Note{})
		if c.conflict < 0 {
			if err != nil || made != version+1 {
				t.Fatalf("%+v: %d, %v", c.change, made, err)
			}
			continue
		}
		var conflict *state.Conflict
		if !errors.As(err, &conflict) || conflict.Kind != c.change.Kind || conflict.ID != c.change.ID || conflict.Revision != c.conflict ||
			errors.Is(err, state.ErrUnavailable) {
			t.Fatalf("%+v: %v, want a conflict with revision %d", c.change, err, c.conflict)
		}
		wantImage(t, s, version, before)
	}
}

func allChangesOrNone(t *testing.T, s state.Store) {
	apply(t, s, put("n57", "there", state.Nothing))
	var changes []state.Change
	for i := range 100 {
		changes = append(changes, put(fmt.Sprint("n", i), "x", state.Nothing))
	}
	before, version := imageOf(t, s)
	_, err := s.Apply(t.Context(), version, changes, state.Note{Action: "refused"})
	var conflict *state.Conflict
	if !errors.As(err, &conflict) || conflict.ID != "n57" || conflict.Revision != 1 {
		t.Fatalf("%v", err)
	}
	wantImage(t, s, version, before)
	if items, now, err := s.Since(t.Context(), version); err != nil || len(items) != 0 || now != version {
		t.Errorf("%+v, %d, %v", items, now, err)
	}
	if all, _, _ := s.Notes(t.Context(), "", 10); len(all) != 1 || all[0].Action == "refused" {
		t.Errorf("what was refused is noted: %+v", all)
	}
	changes[57].Expect = 1
	apply(t, s, changes...)
	if after, _ := imageOf(t, s); len(after) != 100 {
		t.Errorf("%d items", len(after))
	}
}

func anyBytes(t *testing.T, s state.Store) {
	all := make([]byte, 64<<10)
	for i := range all {
		all[i] = byte(i ^ i>>8)
	}
	values := map[string][]byte{"empty": {}, "zero": {0}, "colon": []byte("7:8:"), "line": []byte("\r\n\x00/{x}"), "all": all,
		"not utf-8: \xff {a} ä\n": []byte("odd name")}
	for id, value := range values {
		apply(t, s, state.Change{Kind: state.SettingItem, ID: id, Value: value})
	}
	items, version, err := s.Items(t.Context())
	changed, now, err2 := s.Since(t.Context(), 0)
	if err != nil || err2 != nil || version != now || len(items) != len(values) || len(changed) != len(values) {
		t.Fatalf("%d and %d items of %d, %v, %v", len(items), len(changed), len(values), err, err2)
	}
	for _, i := range append(items, changed...) {
		if want, known := values[i.ID]; !known || !bytes.Equal(i.Value, want) || i.Value == nil || i.Deleted {
			t.Errorf("%q came back as %.40q", i.ID, i.Value)
		}
	}
	for i := range items { // they are the caller's
		for n := range items[i].Value {
			items[i].Value[n] = 'x'
		}
	}
	if again, _, _ := s.Items(t.Context()); !slices.ContainsFunc(again, func(i state.Item) bool { return bytes.Equal(i.Value, all) }) {
		t.Error("a caller changed what is kept")
	}
}

func manyChanges(t *testing.T, s state.Store) {
	var puts, deletes []state.Change
	for i := range state.MostChanges {
		puts = append(puts, put(fmt.Sprint("k", i), strings.Repeat("v", 600), state.Nothing))
		deletes = append(deletes, gone(fmt.Sprint("k", i), 1))
	}
	apply(t, s, puts...)
	if changed, now, err := s.Since(t.Context(), 0); err != nil || now != 1 || len(changed) != len(puts) {
		t.Fatalf("%d changed, %d, %v", len(changed), now, err)
	}
	if held, _ := imageOf(t, s); len(held) != len(puts) {
		t.Fatalf("%d items", len(held))
	}
	apply(t, s, deletes...)
	wantImage(t, s, 2, image{})
	if changed, _, err := s.Since(t.Context(), 1); err != nil || len(changed) != len(puts) || !changed[17].Deleted {
		t.Errorf("%d changed, %v", len(changed), err)
	}
}

func mistakes(t *testing.T, s state.Store) {
	for name, changes := range map[string][]state.Change{
		"no kind":    {{ID: "a", Value: []byte("x")}},
		"no id":      {{Kind: state.KeyItem, Value: []byte("x")}},
		"slash":      {put("a/b", "x", 0)},
		"twice":      {put("a", "x", 0), gone("a", 0)},
		"revision":   {put("a", "x", -2)},
		"many, many": slices.Repeat([]state.Change{put("a", "x", -1)}, state.MostChanges+1),
	} {
		var conflict *state.Conflict
		if _, err := s.Apply(t.Context(), 0, changes, state.Note{}); err == nil || errors.Is(err, state.ErrUnavailable) || errors.As(err, &conflict) {
			t.Errorf("%s: %v", name, err)
		}
	}
	wantImage(t, s, 0, image{})
}

func stale(t *testing.T, s state.Store) {
	apply(t, s, put("a", "1", state.Nothing))
	if _, err := s.Apply(t.Context(), 2, []state.Change{put("a", "2", 9)}, state.Note{}); !errors.Is(err, state.ErrStale) {
		t.Errorf("%v", err)
	}
	if version, err := s.Apply(t.Context(), 1, []state.Change{put("a", "2", 1)}, state.Note{}); err != nil || version != 2 {
		t.Errorf("%d, %v", version, err)
	}
	if version, err := s.Apply(t.Context(), 1, []state.Change{put("b", "x", 0)}, state.Note{}); err != nil || version != 3 {
		t.Errorf("who knows less may change what it knows: %d, %v", version, err)
	}
}

// What is too long ago, or lies in the future, is a gap; what is within the bound never is.
func gap(t *testing.T, s state.Store) {
	kept := LowBounds.Versions
	for i := range kept + 20 {
		apply(t, s, put("a", fmt.Sprint(i), state.Anything))
	}
	now := kept + 20
	for _, version := range []int64{0, 19, now + 1} {
		if _, _, err := s.Since(t.Context(), version); !errors.Is(err, state.ErrGap) {
			t.Errorf("since %d of %d: %v", version, now, err)
		}
	}
	for _, version := range []int64{20, now - 1, now} {
		if _, at, err := s.Since(t.Context(), version); err != nil || at != now {
			t.Errorf("since %d of %d: %d, %v", version, now, at, err)
		}
	}
	// Versions that change much leave room for fewer of them.
	var many []state.Change
	for i := range state.MostChanges {
		many = append(many, put(fmt.Sprint("m", i), "x", state.Anything))
	}
	apply(t, s, many...)
	least := state.VersionsKept(kept, len(many))
	if _, _, err := s.Since(t.Context(), now+1-least); err != nil {
		t.Errorf("%d versions are kept: %v", least, err)
	}
	if _, _, err := s.Since(t.Context(), now-least); !errors.Is(err, state.ErrGap) {
		t.Errorf("more than %d versions are kept: %v", least, err)
	}
}

// A caller who left before has changed nothing, and nothing hangs.
func callerWhoLeft(t *testing.T, s state.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		if _, err := s.Apply(ctx, 0, []state.Change{put("a", "x", 0)}, state.Note{}); !errors.Is(err, state.ErrUnavailable) ||
			errors.Is(err, state.ErrUncertain) {
			t.Errorf("%v", err)
		}
		s.Restore(ctx, []state.Item{{Kind: "key", ID: "a"}}, 7)
		s.Note(ctx, state.Note{})
		for _, call := range []func() error{
			func() error { _, _, err := s.Items(ctx); return err },
			func() error { _, _, err := s.Since(ctx, 0); return err },
			func() error { _, _, err := s.Notes(ctx, "", 1); return err },
		} {
			if err := call(); !errors.Is(err, state.ErrUnavailable) {
				t.Errorf("%v", err)
			}
		}
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("hangs")
	}
	wantImage(t, s, 0, image{})
}
