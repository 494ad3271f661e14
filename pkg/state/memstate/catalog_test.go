package memstate

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"openai-api-proxy/pkg/state"
	"openai-api-proxy/pkg/state/statetest"
)

// catalogDir names the variable that makes this test binary the process that is killed in TestCatalogCrash.
const catalogDir = "MEMSTATE_CATALOG_DIR"

func low(s *Store) *Store {
	s.catalog.versionsKept, s.catalog.notesKept = statetest.LowBounds.Versions, statetest.LowBounds.Notes
	return s
}

func TestCatalog(t *testing.T) {
	t.Run("memory", func(t *testing.T) { statetest.RunCatalog(t, func(*testing.T) state.Store { return low(New()) }) })
	t.Run("file", func(t *testing.T) {
		statetest.RunCatalog(t, func(t *testing.T) state.Store { return low(opened(t, t.TempDir())) })
	})
}

// Every change that was answered before a kill is there after it, whole; at most one more is, whose answer was not heard.
func TestCatalogCrash(t *testing.T) {
	dir := t.TempDir()
	child := exec.Command(os.Args[0], "-test.run=^$")
	child.Env = append(os.Environ(), catalogDir+"="+dir)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	answered := int64(0)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if answered++; answered == 50 {
			child.Process.Kill()
		}
	}
	child.Wait()
	if answered < 50 {
		t.Fatalf("the child made %d changes", answered)
	}
	s := opened(t, dir)
	items, version, err := s.Items(t.Context())
	if err != nil || version < answered || version > answered+1 || int64(len(items)) != 2*version {
		t.Errorf("%d changes of two items were answered; version %d has %d, %v", answered, version, len(items), err)
	}
	if all, _, _ := s.Notes(t.Context(), "", 1000); int64(len(all)) != version {
		t.Errorf("%d notes of %d", len(all), version)
	}
	if _, _, err := s.Since(t.Context(), version-1); !errors.Is(err, state.ErrGap) {
		t.Errorf("what changed is remembered over a restart: %v", err)
	}
	if changed, now, err := s.Since(t.Context(), version); err != nil || now != version || len(changed) != 0 {
		t.Errorf("%+v, %d, %v", changed, now, err)
	}
}

// applyUntilKilled prints a line for each change that was answered.
func applyUntilKilled(dir string) {
	s, err := Open(dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for i := int64(0); i < 100_000; i++ {
		changes := []state.Change{{Kind: state.KeyItem, ID: fmt.Sprint("k", i), Value: []byte{0, byte(i)}},
			{Kind: state.ClientItem, ID: fmt.Sprint("c", i), Value: []byte("x")}}
		if _, err := s.Apply(context.Background(), i, changes, state.Note{Action: "create"}); err != nil {
			break
		}
		fmt.Println("answered")
	}
	os.Exit(0)
}

// Items, revisions, notes and the version are as they were; what was deleted stays so.
func TestCatalogReopen(t *testing.T) {
	dir := t.TempDir()
	s := opened(t, dir)
	change := func(changes ...state.Change) {
		t.Helper()
		if _, err := s.Apply(t.Context(), 0, changes, state.Note{Action: "apply"}); err != nil {
			t.Fatal(err)
		}
	}
	change(state.Change{Kind: "key", ID: "a:\x00", Value: []byte("\x00:1")}, state.Change{Kind: "key", ID: "b", Value: []byte{}})
	change(state.Change{Kind: "key", ID: "b", Expect: 1})
	s.Note(t.Context(), state.Note{Action: "note"})
	s.Close()

	s = opened(t, dir)
	items, version, err := s.Items(t.Context())
	if err != nil || version != 2 || len(items) != 1 || items[0].ID != "a:\x00" || items[0].Revision != 1 || string(items[0].Value) != "\x00:1" {
		t.Fatalf("%+v, %d, %v", items, version, err)
	}
	s.Note(t.Context(), state.Note{Action: "after"})
	all, _, err := s.Notes(t.Context(), "", 10)
	if err != nil || len(all) != 4 || all[0].Action != "after" || all[1].Action != "note" || all[3].Action != "apply" || all[3].At.IsZero() {
		t.Errorf("%+v, %v", all, err)
	}
	if err := s.Restore(t.Context(), []state.Item{{Kind: "key", ID: "c", Revision: 4, Value: []byte("c")}}, 9); err != nil {
		t.Fatal(err)
	}
	s.Close()
	s = opened(t, dir)
	if items, version, _ := s.Items(t.Context()); version != 9+state.RestoreLeap || len(items) != 1 || items[0].Revision != 4 {
		t.Errorf("%+v, %d", items, version)
	}
}

// A file that was written before there was a catalog is read, and takes one.
func TestFileWithoutCatalog(t *testing.T) {
	dir := t.TempDir()
	s := opened(t, dir)
	s.Advance(t.Context(), "pool", 41)
	s.Close()
	db, err := bbolt.Open(filepath.Join(dir, "state.db"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		return errors.Join(tx.DeleteBucket(itemsBucket), tx.DeleteBucket(notesBucket), tx.Bucket(metaBucket).Delete(catalogKey))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	s = opened(t, dir)
	if first, _ := s.Advance(t.Context(), "pool", 1); first != 41 {
		t.Errorf("the cursor stands at %d", first)
	}
	change := []state.Change{{Kind: "key", ID: "a", Value: []byte("1")}}
	if version, err := s.Apply(t.Context(), 0, change, state.Note{}); err != nil || version != 1 {
		t.Errorf("%d, %v", version, err)
	}
}

// A change that cannot be written is not made.
func TestCatalogCannotBeWritten(t *testing.T) {
	s := opened(t, t.TempDir())
	change := []state.Change{{Kind: "key", ID: "a", Value: []byte("1"), Expect: state.Anything}}
	if _, err := s.Apply(t.Context(), 0, change, state.Note{}); err != nil {
		t.Fatal(err)
	}
	s.file.db.Close()
	if _, err := s.Apply(t.Context(), 1, change, state.Note{}); !errors.Is(err, state.ErrUnavailable) {
		t.Errorf("%v", err)
	}
	if err := s.Restore(t.Context(), nil, 7); !errors.Is(err, state.ErrUnavailable) {
		t.Errorf("%v", err)
	}
	if err := s.Note(t.Context(), state.Note{}); !errors.Is(err, state.ErrUnavailable) {
		t.Errorf("%v", err)
	}
	items, version, err := s.Items(t.Context())
	if all, _, _ := s.Notes(t.Context(), "", 9); err != nil || version != 1 || len(items) != 1 || len(all) != 1 {
		t.Errorf("%+v, %d, %d notes, %v", items, version, len(all), err)
	}
}

// How long a large catalog takes to write and to read at the start is printed.
func TestLargeCatalog(t *testing.T) {
	dir := t.TempDir()
	s := opened(t, dir)
	const all = 50_000
	for from := 0; from < all; from += state.MostChanges {
		changes := make([]state.Change, state.MostChanges)
		for i := range changes {
			changes[i] = state.Change{Kind: state.KeyItem, ID: fmt.Sprintf("key-%010x", from+i), Value: make([]byte, 600)}
		}
		begin := time.Now()
		if _, err := s.Apply(t.Context(), 0, changes, state.Note{}); err != nil {
			t.Fatal(err)
		}
		t.Logf("%d changes are on disk after %v", len(changes), time.Since(begin).Round(time.Millisecond))
	}
	s.Close()
	begin := time.Now()
	s = opened(t, dir)
	t.Logf("opened in %v", time.Since(begin).Round(time.Millisecond))
	if items, _, err := s.Items(t.Context()); err != nil || len(items) != all {
		t.Errorf("%d items, %v", len(items), err)
	}
}
