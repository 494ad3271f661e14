package statetest

import (
	"errors"
	"fmt"
	"maps"
	"testing"
	"time"

	"openai-api-proxy/pkg/state"
)

// lived is a state that some changes were made to, and what it holds: what a replica knows before it is lost.
func lived(t *testing.T, empty func(t *testing.T) state.Store) (items []state.Item, version int64, want image) {
	t.Helper()
	s := empty(t)
	apply(t, s, put("a", "1", state.Nothing), put("b", "1", state.Nothing))
	apply(t, s, put("c", "\x00:2", state.Nothing), put("deleted", "2", state.Nothing))
	apply(t, s, put("a", "3", 1))
	apply(t, s, gone("deleted", 2))
	items, version, err := s.Items(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want, _ = imageOf(t, s)
	return items, version, want
}

// A state that was emptied, or is an older copy, becomes what a replica knew. What was deleted does not come back, and
// everyone has to read everything.
func restore(t *testing.T, empty func(t *testing.T) state.Store) {
	items, version, want := lived(t, empty)
	for _, before := range []int64{0, 2} {
		s := empty(t)
		if before > 0 {
			apply(t, s, put("a", "1", state.Nothing), put("b", "1", state.Nothing))
			apply(t, s, put("deleted", "2", state.Nothing), put("other", "2", state.Nothing))
		}
		if _, err := s.Apply(t.Context(), version, []state.Change{put("x", "x", 0)}, state.Note{}); !errors.Is(err, state.ErrStale) {
			t.Fatalf("the older state took a change: %v", err)
		}
		for range 2 { // the second time it is as new
			if err := s.Restore(t.Context(), items, version); err != nil {
				t.Fatal(err)
			}
			wantImage(t, s, version+state.RestoreLeap, want)
		}
		for _, v := range []int64{0, before, version, version + 1} {
			if _, _, err := s.Since(t.Context(), v); !errors.Is(err, state.ErrGap) {
				t.Errorf("since %d: %v", v, err)
			}
		}
		goesOn(t, s, version+state.RestoreLeap)
	}
}

// goesOn makes the next version of a state that was restored, and follows it.
func goesOn(t *testing.T, s state.Store, version int64) {
	t.Helper()
	made, err := s.Apply(t.Context(), version, []state.Change{put("a", "4", 3), put("deleted", "new", state.Nothing)}, state.Note{})
	if err != nil || made != version+1 {
		t.Fatalf("%d, %v", made, err)
	}
	if changed, now, err := s.Since(t.Context(), version); err != nil || now != made || len(changed) != 2 {
		t.Errorf("%+v, %d, %v", changed, now, err)
	}
}

// A catalog that was empty at its version is restored too.
func restoreOfNothing(t *testing.T, empty func(t *testing.T) state.Store) {
	s := empty(t)
	apply(t, s, put("a", "1", state.Nothing))
	if err := s.Restore(t.Context(), nil, 5); err != nil {
		t.Fatal(err)
	}
	wantImage(t, s, 5+state.RestoreLeap, image{})
}

func restoreLeavesNewerAlone(t *testing.T, empty func(t *testing.T) state.Store) {
	items, version, _ := lived(t, empty)
	s := empty(t)
	for i := range version {
		apply(t, s, put("mine", fmt.Sprint(i), state.Anything))
		before, now := imageOf(t, s)
		for older := range now + 1 {
			if err := s.Restore(t.Context(), items, older); err != nil {
				t.Fatal(err)
			}
		}
		wantImage(t, s, now, before)
	}
	if err := s.Restore(t.Context(), []state.Item{{Kind: "key", ID: "a/b"}}, 99); err == nil {
		t.Error("a name with a slash is restored")
	}
	if held, _ := imageOf(t, s); !maps.Equal(held, image{"key/mine": fmt.Sprintf("%d:%d", version, version-1)}) {
		t.Errorf("%v", held)
	}
}

func notes(t *testing.T, s state.Store) {
	if all, next, err := s.Notes(t.Context(), "", 10); err != nil || len(all) != 0 || next != "" {
		t.Fatalf("%v, %q, %v", all, next, err)
	}
	begin := time.Now()
	want := state.Note{Actor: "admin", Address: "192.0.2.1", Action: "key.create", Subject: "k0", Detail: "ä\n<b>", Replica: "r"}
	if _, err := s.Apply(t.Context(), 0, []state.Change{put("k0", "x", 0)}, want); err != nil {
		t.Fatal(err)
	}
	for i := range 24 {
		if err := s.Note(t.Context(), state.Note{Actor: "admin", Action: "key.test", Subject: fmt.Sprint("k", i+1)}); err != nil {
			t.Fatal(err)
		}
	}
	all := everyNote(t, s, 7)
	if len(all) != 25 {
		t.Fatalf("%d notes", len(all))
	}
	for i, n := range all {
		if n.Subject != fmt.Sprint("k", 24-i) {
			t.Errorf("note %d is of %s", i, n.Subject)
		}
		if n.At.Before(begin.Add(-time.Minute)) || n.At.After(time.Now().Add(time.Minute)) || i > 0 && n.At.After(all[i-1].At) {
			t.Errorf("note %d of %v", i, n.At)
		}
	}
	want.At = all[24].At
	if all[24] != want {
		t.Errorf("%+v, want %+v", all[24], want)
	}
	if five := everyNote(t, s, 5); len(five) != 25 { // the last page is full
		t.Errorf("%d notes by five", len(five))
	}
	if _, _, err := s.Notes(t.Context(), "nonsense", 5); err == nil || errors.Is(err, state.ErrUnavailable) {
		t.Errorf("%v", err)
	}
}

// everyNote reads all notes, page by page; the last one must say so.
func everyNote(t *testing.T, s state.Store, limit int) (all []state.Note) {
	t.Helper()
	for after := ""; ; {
		page, next, err := s.Notes(t.Context(), after, limit)
		if err != nil || len(page) > limit || next != "" && len(page) < limit {
			t.Fatalf("%d notes after %q, then %q, %v", len(page), after, next, err)
		}
		all = append(all, page...)
		if after = next; after == "" {
			return all
		}
	}
}

// Old notes are forgotten, by whatever the newer ones came: those of the last ones are all there. A stream forgets by the
// hundred or so.
func notesAreBounded(t *testing.T, s state.Store) {
	many := LowBounds.Notes * 2
	for by, remember := range map[string]func(n state.Note) error{
		"apply": func(n state.Note) error {
			_, err := s.Apply(t.Context(), 0, []state.Change{put("a", "x", state.Anything)}, n)
			return err
		},
		"note": func(n state.Note) error { return s.Note(t.Context(), n) },
	} {
		for i := range many {
			if err := remember(state.Note{Action: by, Subject: fmt.Sprint(i)}); err != nil {
				t.Fatal(err)
			}
		}
		all := everyNote(t, s, 50)
		if n := int64(len(all)); n < LowBounds.Notes || n > LowBounds.Notes+100 {
			t.Errorf("%s: %d notes are kept, the bound is %d", by, n, LowBounds.Notes)
		}
		for i, n := range all[:LowBounds.Notes] {
			if n.Action != by || n.Subject != fmt.Sprint(many-1-int64(i)) {
				t.Fatalf("%s: note %d from the end is %+v", by, i, n)
			}
		}
	}
}
