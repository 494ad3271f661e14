package memstate

import (
	"testing"
	"time"

	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
	"openai-api-proxy/pkg/state/statetest"
)

func TestObjectsAreBounded(t *testing.T) {
	s := New()
	s.objects.most = 7
	statetest.BoundedObjects(t, s, 7)
	if len(s.objects.dirty) != 0 {
		t.Errorf("without a file %d wait to be written", len(s.objects.dirty))
	}
}

// What belongs to whom is there after a restart, in the same order; what was forgotten is not.
func TestObjectsInTheFile(t *testing.T) {
	dir, now := t.TempDir(), time.Unix(1_900_000_000, 0).UTC()
	object := func(id string, second int64) proxy.Object {
		return proxy.Object{ObjectID: proxy.ObjectID{Family: "file", ID: id}, Account: "a", Created: now.Add(time.Duration(second) * time.Second)}
	}
	s := opened(t, dir)
	s.KeepObjects(t.Context(), "c/one", []proxy.Object{object("z", 1), object("y", 2), object("x", 3), object("w", 4)})
	if err := s.flush(false); err != nil {
		t.Fatal(err)
	}
	s.KeepObjects(t.Context(), "g/one", []proxy.Object{object("z", 1)})
	s.ForgetObjects(t.Context(), "c/one", []proxy.ObjectID{{Family: "file", ID: "y"}})
	s.Close()

	s = opened(t, dir)
	for owner, want := range map[string]string{"c/one": "wxz", "g/one": "z", "c/two": ""} {
		page, err := s.ListObjects(t.Context(), owner, proxy.ObjectQuery{Family: "file", Limit: 9})
		got := ""
		for _, o := range page.Objects {
			got += o.ID
		}
		if err != nil || got != want {
			t.Errorf("%s has %q, %v", owner, got, err)
		}
	}
	if all, _ := s.FindObjects(t.Context(), "c/one", []proxy.ObjectID{{Family: "file", ID: "x"}}); len(all) != 1 || all[0] != object("x", 3) {
		t.Errorf("%+v", all)
	}
}

func TestGoneIsForgottenInTheEnd(t *testing.T) {
	now := time.Now()
	s := New(WithClock(func() time.Time { return now }))
	id := proxy.ObjectID{Family: "file", ID: "file-1"}
	s.KeepObjects(t.Context(), "c/one", []proxy.Object{{ObjectID: id, Account: "a", Created: now}})
	s.ForgetObjects(t.Context(), "c/one", []proxy.ObjectID{id})
	now = now.Add(state.GoneMemory + time.Second)
	if _, err := s.ListObjects(t.Context(), "c/one", proxy.ObjectQuery{Family: "file", From: id.ID, Limit: 1}); err != state.ErrNoObject {
		t.Errorf("%v", err)
	}
}
