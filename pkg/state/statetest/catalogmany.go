package statetest

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"openai-api-proxy/pkg/state"
)

// follower is a replica that started with an empty catalog and follows the changes.
type follower struct {
	held    image
	version int64
	gaps    int
}

// catchUp does what every replica does: it takes what changed, and everything after a gap.
func (f *follower) catchUp(t testing.TB, s state.Store) {
	changed, now, err := s.Since(t.Context(), f.version)
	switch {
	case errors.Is(err, state.ErrGap):
		f.gaps++
		f.held, f.version = imageOf(t, s)
	case err != nil:
		t.Error(err)
	case now < f.version:
		t.Errorf("from version %d to %d", f.version, now)
	default:
		f.held.take(changed)
		f.version = now
	}
}

// Any run of changes agrees with a model, and with everyone who follows them.
func catalogModel(t *testing.T, s state.Store) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	held := map[string]int64{} // revisions
	want, version := image{}, int64(0)
	followers := []*follower{{held: image{}}, {held: image{}}, {held: image{}}}
	for range 300 {
		changes := randomChanges(r, held)
		refused := slices.IndexFunc(changes, func(c state.Change) bool { return c.Expect != state.Anything && c.Expect != held[c.ID] })
		made, err := s.Apply(t.Context(), version, changes, state.Note{})
		var conflict *state.Conflict
		switch {
		case refused >= 0:
			c := changes[refused]
			if !errors.As(err, &conflict) || conflict.ID != c.ID || conflict.Revision != held[c.ID] {
				t.Fatalf("%+v: %v, want a conflict of %+v", changes, err, c)
			}
		case err != nil || made != version+1:
			t.Fatalf("%+v: %d, %v", changes, made, err)
		default:
			version = made
			for _, c := range changes {
				item := state.Item{Kind: c.Kind, ID: c.ID, Value: c.Value, Revision: made, Deleted: c.Value == nil}
				want.take([]state.Item{item})
				if held[c.ID] = made; item.Deleted {
					held[c.ID] = state.Nothing
				}
			}
		}
		if f := followers[r.IntN(len(followers))]; r.IntN(3) == 0 {
			f.catchUp(t, s)
			if f.version != version || !maps.Equal(f.held, want) {
				t.Fatalf("a follower at %d holds %v, the model at %d %v", f.version, f.held, version, want)
			}
		}
	}
	wantImage(t, s, version, want)
}

// randomChanges are some changes of ten items, most of which expect what is there.
func randomChanges(r *rand.Rand, held map[string]int64) (changes []state.Change) {
	ids := r.Perm(10)
	for _, n := range ids[:1+r.IntN(5)] {
		c := state.Change{Kind: state.KeyItem, ID: fmt.Sprint("k", n), Expect: state.Anything}
		switch r.IntN(8) {
		case 0:
			c.Expect = r.Int64N(4)
		case 1, 2, 3, 4:
			c.Expect = held[c.ID]
		}
		if r.IntN(3) > 0 {
			c.Value = fmt.Appendf([]byte{}, "%x", r.Uint64())
		}
		changes = append(changes, c)
	}
	return changes
}

// Many write at once: the versions have no hole, and everyone who followed from the beginning ends with what there is.
func writersAndFollowers(t *testing.T, s state.Store) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	const writers, writes = 16, 15
	var mu sync.Mutex // guards made
	made := map[int64]bool{}
	var writing, following sync.WaitGroup
	for w := range uint64(writers) {
		r := rand.New(rand.NewPCG(seed, w))
		writing.Go(func() {
			for range writes {
				version, err := s.Apply(t.Context(), 0, randomChangesOfAll(r), state.Note{})
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				made[version] = true
				mu.Unlock()
			}
		})
	}
	written := make(chan struct{})
	followers := []*follower{{held: image{}}, {held: image{}}, {held: image{}}, {held: image{}}}
	for _, f := range followers {
		following.Go(func() {
			for {
				select {
				case <-written:
					f.catchUp(t, s)
					return
				default:
					f.catchUp(t, s)
				}
			}
		})
	}
	writing.Wait()
	close(written)
	following.Wait()
	for v := range int64(writers * writes) {
		if !made[v+1] {
			t.Errorf("nobody made version %d", v+1)
		}
	}
	want, version := imageOf(t, s)
	if version != writers*writes {
		t.Errorf("version %d after %d changes", version, writers*writes)
	}
	for _, f := range followers {
		if f.version != version || f.gaps > 0 || !maps.Equal(f.held, want) {
			t.Errorf("a follower at %d after %d gaps holds %v, the state at %d %v", f.version, f.gaps, f.held, version, want)
		}
	}
}

// randomChangesOfAll expect nothing, so that no writer refuses another's.
func randomChangesOfAll(r *rand.Rand) []state.Change {
	changes := randomChanges(r, nil)
	for i := range changes {
		changes[i].Expect = state.Anything
	}
	return changes
}
