package auth

import (
	"context"
	"errors"
	"log/slog"
	"reflect"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state/memstate"
	"openai-api-proxy/pkg/state/statetest"
)

func owners(t *testing.T) (*Owners, *statetest.Switchable) {
	s := statetest.Switch(memstate.New())
	o := NewOwners(OwnersOptions{Store: s, Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry()})
	t.Cleanup(func() { o.Close() })
	return o, s
}

func file(id string) proxy.Object {
	return proxy.Object{ObjectID: proxy.ObjectID{Family: "file", ID: id}, Account: "a", Created: time.Unix(1_900_000_000, 0).UTC()}
}

func kind(err error) proxy.Kind {
	var f *proxy.Fault
	errors.As(err, &f)
	if f == nil {
		return ""
	}
	return f.Kind
}

func TestOwners(t *testing.T) {
	o, _ := owners(t)
	one, two := file("file-1"), file("file-2")
	o.Keep(t.Context(), "c/a", []proxy.Object{one, two})
	o.Forget(t.Context(), "c/a", []proxy.ObjectID{two.ObjectID})
	ids := []proxy.ObjectID{one.ObjectID, two.ObjectID}
	if got, err := o.Find(t.Context(), "c/a", ids); err != nil || !reflect.DeepEqual(got, map[proxy.ObjectID]proxy.Object{one.ObjectID: one}) {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := o.Find(t.Context(), "c/b", ids); err != nil || len(got) != 0 {
		t.Errorf("another owner: %+v, %v", got, err)
	}
	if _, err := o.List(t.Context(), "c/a", proxy.ObjectQuery{Family: "file", From: "file-3", Limit: 1}); kind(err) != proxy.NotFound {
		t.Errorf("a list from nowhere: %v", err)
	}
	if page, err := o.List(t.Context(), "c/a", proxy.ObjectQuery{Family: "file", Limit: 1}); err != nil || len(page.Objects) != 1 || page.More {
		t.Errorf("%+v, %v", page, err)
	}
	for _, want := range []bool{true, false} {
		if taken, err := o.Take(t.Context(), "c/a", one.ObjectID); taken != want || err != nil {
			t.Errorf("taken: %v, %v", taken, err)
		}
	}
	undated := file("file-4")
	undated.Created = time.Time{}
	o.Keep(t.Context(), "c/a", []proxy.Object{undated})
	if got, _ := o.Find(t.Context(), "c/a", []proxy.ObjectID{undated.ObjectID}); time.Since(got[undated.ObjectID].Created) > time.Minute {
		t.Errorf("%+v", got)
	}
}

// While the state is away nobody is told that something is not there; what was made meanwhile is found here, and told later.
func TestOwnersWithoutState(t *testing.T) {
	o, s := owners(t)
	before, made, gone := file("file-1"), file("file-2"), file("file-3")
	o.Keep(t.Context(), "c/a", []proxy.Object{before, gone})
	s.Off(true)
	o.Keep(t.Context(), "c/a", []proxy.Object{made})
	o.Forget(t.Context(), "c/a", []proxy.ObjectID{gone.ObjectID})
	if got, err := o.Find(t.Context(), "c/a", []proxy.ObjectID{made.ObjectID}); err != nil || got[made.ObjectID] != made {
		t.Errorf("made meanwhile: %+v, %v", got, err)
	}
	if got, err := o.Find(t.Context(), "c/a", []proxy.ObjectID{made.ObjectID, gone.ObjectID}); err != nil || len(got) != 1 {
		t.Errorf("deleted meanwhile: %+v, %v", got, err)
	}
	for _, owner := range []string{"c/a", "c/b"} {
		for _, id := range []string{"file-1", "file-9"} {
			if _, err := o.Find(t.Context(), owner, []proxy.ObjectID{file(id).ObjectID}); kind(err) != proxy.StateUnavailable {
				t.Errorf("%s, %s: %v", owner, id, err)
			}
		}
	}
	if _, err := o.Find(t.Context(), "c/b", []proxy.ObjectID{made.ObjectID}); kind(err) != proxy.StateUnavailable {
		t.Errorf("another owner: %v", err)
	}
	if _, err := o.List(t.Context(), "c/a", proxy.ObjectQuery{Family: "file", Limit: 9}); kind(err) != proxy.StateUnavailable {
		t.Errorf("list: %v", err)
	}
	if taken, err := o.Take(t.Context(), "c/a", made.ObjectID); taken || kind(err) != proxy.StateUnavailable {
		t.Errorf("taken meanwhile: %v, %v", taken, err)
	}
	if n := o.waiting.size(); n != 2 {
		t.Errorf("%v wait", n)
	}
	s.Off(false)
	allTold(t, o)
	page, err := o.List(t.Context(), "c/a", proxy.ObjectQuery{Family: "file", Limit: 9})
	if err != nil || !reflect.DeepEqual(page.Objects, []proxy.Object{made, before}) {
		t.Errorf("%+v, %v", page, err)
	}
}

// lateStore looked before it was told, and answers afterwards.
type lateStore struct {
	*statetest.Switchable
	told func()
}

func (s lateStore) FindObjects(context.Context, string, []proxy.ObjectID) ([]proxy.Object, error) {
	s.told()
	return nil, nil
}

// What is told while the state looks for it is found all the same.
func TestOwnersAreToldMeanwhile(t *testing.T) {
	o, s := owners(t)
	made, other := file("file-1"), file("file-2")
	s.Off(true)
	o.Keep(t.Context(), "c/a", []proxy.Object{made})
	o.Store = lateStore{s, func() {
		s.Off(false)
		allTold(t, o)
	}}
	got, err := o.Find(t.Context(), "c/a", []proxy.ObjectID{made.ObjectID, other.ObjectID})
	if err != nil || !reflect.DeepEqual(got, map[proxy.ObjectID]proxy.Object{made.ObjectID: made}) {
		t.Errorf("%+v, %v", got, err)
	}
}

// allTold waits until nothing waits.
func allTold(t *testing.T, o *Owners) {
	t.Helper()
	for end := time.Now().Add(time.Minute); o.waiting.size() > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("nobody tells it")
		}
	}
}

// What waits is told at the end, and no more of it is kept than is bearable.
func TestOwnersClose(t *testing.T) {
	o, s := owners(t)
	s.Off(true)
	for range mostWaiting/1000 + 2 {
		o.Keep(t.Context(), "c/a", make([]proxy.Object, 1000))
	}
	o.Keep(t.Context(), "c/b", []proxy.Object{file("file-1")})
	if n := o.waiting.size(); n > mostWaiting {
		t.Errorf("%v wait", n)
	}
	s.Off(false)
	o.Close()
	if got, err := s.FindObjects(t.Context(), "c/b", []proxy.ObjectID{file("file-1").ObjectID}); err != nil || len(got) != 1 {
		t.Errorf("%+v, %v", got, err)
	}
}
