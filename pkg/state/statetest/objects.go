package statetest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"openai-api-proxy/pkg/openai"
	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
)

// objectTests are the part of Run about whose the objects are that are stored upstream.
var objectTests = map[string]func(t *testing.T, s state.Store){
	"objects":               objects,
	"objects of others":     objectsOfOthers,
	"many objects at once":  manyObjects,
	"one takes an object":   takenObjects,
	"lists go on":           listsGoOn,
	"lists against a model": listsAgainstAModel,
}

// made is an object of a family, made so many seconds after a time that lies a day back, so that none is too old.
func made(f openai.Family, id, account string, second int64) proxy.Object {
	return proxy.Object{ObjectID: proxy.ObjectID{Family: f, ID: id}, Account: account,
		Created: time.Unix(time.Now().Add(-24*time.Hour).Unix()/86400*86400+second, 0).UTC()}
}

func keep(t testing.TB, s state.Store, owner string, all ...proxy.Object) {
	t.Helper()
	if err := answered(func() error { return s.KeepObjects(t.Context(), owner, all) }); err != nil {
		t.Fatal(err)
	}
}

// answered asks again while the store is too slow to answer, as a Redis may be on a machine with much else to do. All that is
// asked so may be done twice.
func answered(ask func() error) (err error) {
	for range 10 {
		if err = ask(); !errors.Is(err, state.ErrUnavailable) {
			return err
		}
		time.Sleep(200 * time.Millisecond)
	}
	return err
}

// found are the objects that are found, sorted by family and id.
func found(t testing.TB, s state.Store, owner string, ids ...proxy.ObjectID) []proxy.Object {
	t.Helper()
	var all []proxy.Object
	err := answered(func() (err error) { all, err = s.FindObjects(t.Context(), owner, ids); return err })
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(all, func(a, b proxy.Object) int {
		return cmp.Or(cmp.Compare(a.Family, b.Family), cmp.Compare(a.ID, b.ID))
	})
	return all
}

func forget(t testing.TB, s state.Store, owner string, ids ...proxy.ObjectID) {
	t.Helper()
	if err := answered(func() error { return s.ForgetObjects(t.Context(), owner, ids) }); err != nil {
		t.Fatal(err)
	}
}

func listed(t testing.TB, s state.Store, owner string, q proxy.ObjectQuery) (ids []string, more bool) {
	t.Helper()
	var page proxy.ObjectPage
	err := answered(func() (err error) { page, err = s.ListObjects(t.Context(), owner, q); return err })
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range page.Objects {
		ids = append(ids, o.ID)
	}
	return ids, page.More
}

func objects(t *testing.T, s state.Store) {
	owner := fresh("c/")
	file, vector, answer := made("file", "file-1", "a", 5), made("vector_store", "vs_1", "b", 7), made("response", "resp_1", "org:b c", 9)
	keep(t, s, owner, file, vector, answer)
	keep(t, s, owner, file) // again
	if got := found(t, s, owner, vector.ObjectID, file.ObjectID, answer.ObjectID); !reflect.DeepEqual(got, []proxy.Object{file, answer, vector}) {
		t.Errorf("kept and found: %+v", got)
	}
	for _, id := range []proxy.ObjectID{{Family: "file", ID: "file-2"}, {Family: "vector_store", ID: "file-1"}, {Family: "eval", ID: "file-1"}, {Family: "file"}} {
		if got := found(t, s, owner, id); len(got) != 0 {
			t.Errorf("%+v is found: %+v", id, got)
		}
	}
	if got := found(t, s, owner); len(got) != 0 {
		t.Errorf("without ids: %+v", got)
	}
	file.Account, file.Created = "c", file.Created.Add(-time.Second)
	keep(t, s, owner, file, made("file", "file-0", "a", 4))
	if got := found(t, s, owner, file.ObjectID); !reflect.DeepEqual(got, []proxy.Object{file}) {
		t.Errorf("told anew: %+v", got)
	}
	if ids, more := listed(t, s, owner, proxy.ObjectQuery{Family: "file", Limit: 9}); !slices.Equal(ids, []string{"file-1", "file-0"}) || more {
		t.Errorf("listed: %q, %v", ids, more)
	}
	forget(t, s, owner, file.ObjectID, vector.ObjectID, proxy.ObjectID{Family: "file", ID: "file-2"})
	forget(t, s, owner, file.ObjectID)
	if got := found(t, s, owner, file.ObjectID, vector.ObjectID, answer.ObjectID); !reflect.DeepEqual(got, []proxy.Object{answer}) {
		t.Errorf("after some were forgotten: %+v", got)
	}
	keep(t, s, owner, file)
	if got := found(t, s, owner, file.ObjectID); len(got) != 1 {
		t.Errorf("kept again: %+v", got)
	}
}

func objectsOfOthers(t *testing.T, s state.Store) {
	name := fresh("x")
	one, two := "c/"+name, "g/"+name
	file := made("file", "file-"+name, "a", 1)
	keep(t, s, one, file)
	if got := found(t, s, two, file.ObjectID); len(got) != 0 {
		t.Errorf("another owner finds %+v", got)
	}
	forget(t, s, two, file.ObjectID)
	if ids, more := listed(t, s, two, proxy.ObjectQuery{Family: "file", Limit: 5}); len(ids) != 0 || more {
		t.Errorf("another owner lists %q, %v", ids, more)
	}
	if _, err := s.ListObjects(t.Context(), two, proxy.ObjectQuery{Family: "file", From: file.ID, Limit: 5}); !errors.Is(err, state.ErrNoObject) {
		t.Errorf("another owner goes on at it: %v", err)
	}
	if got := found(t, s, one, file.ObjectID); len(got) != 1 {
		t.Errorf("the owner finds %+v", got)
	}
}

// takenObjects: of many who take an object, one gets it; nobody gets another owner's.
func takenObjects(t *testing.T, s state.Store) {
	one, two := fresh("c/"), fresh("c/")
	owed := made("unsettled", "resp_1", "3 0 gpt-4o", 7)
	keep(t, s, one, owed, made("unsettled", "resp_2", "x", 8))
	take := func(owner string, id proxy.ObjectID) (taken bool) {
		if err := answered(func() (err error) { taken, err = s.TakeObject(t.Context(), owner, id); return err }); err != nil {
			t.Error(err)
		}
		return taken
	}
	if take(two, owed.ObjectID) || take(one, proxy.ObjectID{Family: "response", ID: "resp_1"}) || take(fresh("c/"), owed.ObjectID) {
		t.Error("what is not there was taken")
	}
	var all sync.WaitGroup
	var got atomic.Int64
	for range 20 {
		all.Go(func() {
			if take(one, owed.ObjectID) {
				got.Add(1)
			}
		})
	}
	all.Wait()
	if got.Load() != 1 || len(found(t, s, one, owed.ObjectID)) != 0 {
		t.Errorf("%d have taken it", got.Load())
	}
	if ids, more := listed(t, s, one, proxy.ObjectQuery{Family: "unsettled", Limit: 5}); !slices.Equal(ids, []string{"resp_2"}) || more {
		t.Errorf("%q are left", ids)
	}
}

func manyObjects(t *testing.T, s state.Store) {
	const n = 2500
	owner := fresh("c/")
	all, ids := make([]proxy.Object, n), make([]proxy.ObjectID, n)
	for i := range all {
		all[i] = made("file", fmt.Sprintf("file-%06d", i), "a", int64(i/7))
		ids[i] = all[i].ObjectID
	}
	keep(t, s, owner, all...)
	if got := found(t, s, owner, ids...); !reflect.DeepEqual(got, all) {
		t.Errorf("%d found", len(got))
	}
	got, more := listed(t, s, owner, proxy.ObjectQuery{Family: "file", Ascending: true, Limit: n - 1})
	if len(got) != n-1 || !more || !slices.IsSorted(got) {
		t.Errorf("%d listed, %v", len(got), more)
	}
	forget(t, s, owner, ids...)
	if got := found(t, s, owner, ids...); len(got) != 0 {
		t.Errorf("%d found afterwards", len(got))
	}
}

func listsGoOn(t *testing.T, s state.Store) {
	owner := fresh("c/")
	var all []proxy.Object
	for i, id := range []string{"a", "b", "c", "d", "e", "f"} {
		all = append(all, made("file", id, "x", []int64{1, 2, 2, 2, 3, 4}[i]))
	}
	keep(t, s, owner, all...)
	for _, c := range []struct {
		from      string
		ascending bool
		limit     int
		want      string
		more      bool
	}{
		{"", false, 3, "fed", true}, {"d", false, 2, "cb", true}, {"c", false, 2, "ba", false}, {"a", false, 2, "", false},
		{"", true, 6, "abcdef", false}, {"b", true, 2, "cd", true}, {"f", true, 2, "", false},
	} {
		check := func(when string) {
			t.Helper()
			ids, more := listed(t, s, owner, proxy.ObjectQuery{Family: "file", From: c.from, Ascending: c.ascending, Limit: c.limit})
			got := ""
			for _, id := range ids {
				got += id
			}
			if got != c.want || more != c.more {
				t.Errorf("%s%+v: %q, %v", when, c, got, more)
			}
		}
		check("")
		if c.from != "" { // it can be gone on at what was deleted meanwhile
			at := slices.IndexFunc(all, func(o proxy.Object) bool { return o.ID == c.from })
			forget(t, s, owner, all[at].ObjectID)
			check("gone: ")
			keep(t, s, owner, all[at])
		}
	}
	if _, err := s.ListObjects(t.Context(), owner, proxy.ObjectQuery{Family: "file", From: "zz", Limit: 5}); !errors.Is(err, state.ErrNoObject) {
		t.Errorf("what was never there: %v", err)
	}
}

// Any sequence of changes lists what a sorted list would, in pages of any size.
func listsAgainstAModel(t *testing.T, s state.Store) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	owner, model := fresh("c/"), map[string]proxy.Object{}
	for range 300 {
		o := made("file", fmt.Sprintf("file-%d", r.IntN(60)), "a", r.Int64N(20))
		if r.IntN(3) == 0 {
			forget(t, s, owner, o.ObjectID)
			delete(model, o.ID)
		} else {
			keep(t, s, owner, o)
			model[o.ID] = o
		}
		if r.IntN(10) == 0 {
			checkPages(t, s, owner, model, r.IntN(2) == 0, 1+r.IntN(20))
		}
	}
}

func checkPages(t *testing.T, s state.Store, owner string, model map[string]proxy.Object, ascending bool, limit int) {
	t.Helper()
	var want []string
	for id := range model {
		want = append(want, id)
	}
	slices.SortFunc(want, func(a, b string) int {
		order := cmp.Or(model[a].Created.Compare(model[b].Created), cmp.Compare(a, b))
		if ascending {
			return order
		}
		return -order
	})
	var got []string
	q := proxy.ObjectQuery{Family: "file", Ascending: ascending, Limit: limit}
	for {
		ids, more := listed(t, s, owner, q)
		if got = append(got, ids...); !more {
			break
		}
		if len(ids) != limit {
			t.Fatalf("a page of %d, and more", len(ids))
		}
		q.From = ids[len(ids)-1]
	}
	if !slices.Equal(got, want) {
		t.Fatalf("ascending %v, by %d: %q, want %q", ascending, limit, got, want)
	}
}

// BoundedObjects tests a Store that keeps so many objects of an owner and family, fewer than others do.
func BoundedObjects(t *testing.T, s state.Store, most int) {
	owner := fresh("c/")
	for i := range most + 5 {
		keep(t, s, owner, made("file", fmt.Sprintf("file-%03d", i), "a", int64(i)), made("response", fmt.Sprintf("resp_%03d", i), "a", int64(i)))
	}
	for family, oldest := range map[openai.Family]string{"file": "file-005", "response": "resp_005"} {
		if ids, _ := listed(t, s, owner, proxy.ObjectQuery{Family: family, Ascending: true, Limit: 2 * most}); len(ids) != most || ids[0] != oldest {
			t.Errorf("%d of %s are left, from %q", len(ids), family, ids[:1])
		}
	}
	old := made("response", "resp_old", "a", 0)
	old.Created = time.Now().Add(-state.PassingLife - time.Hour)
	keep(t, s, owner, old)
	if got := found(t, s, owner, old.ObjectID); len(got) != 0 {
		t.Errorf("a response is kept beyond its life: %+v", got)
	}
	old.Family = "file"
	keep(t, s, owner, made("file", "file-x", "a", 1), old)
	if _, err := s.ListObjects(context.Background(), owner, proxy.ObjectQuery{Family: "file", Limit: 1}); err != nil {
		t.Error(err)
	}
}
