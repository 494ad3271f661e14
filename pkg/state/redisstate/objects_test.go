package redisstate

import (
	"errors"
	"strings"
	"testing"
	"time"

	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/redistest"
	"openai-api-proxy/pkg/state"
	"openai-api-proxy/pkg/state/statetest"
)

func TestObjectsAreBounded(t *testing.T) {
	s := opened(t, redistest.Start(t).URL())
	s.objects.most = 7
	statetest.BoundedObjects(t, s, 7)
}

// Files stay for as long as nobody deletes them; what passes upstream passes here, and so does what is gone.
func TestLivesOfObjects(t *testing.T) {
	server := redistest.Start(t)
	s := opened(t, server.URL())
	file, answer := proxy.ObjectID{Family: "file", ID: "file-1"}, proxy.ObjectID{Family: "response", ID: "resp_1"}
	now := time.Now()
	s.KeepObjects(t.Context(), "c/one", []proxy.Object{{ObjectID: file, Account: "a", Created: now}, {ObjectID: answer, Account: "a", Created: now}})
	s.KeepObjects(t.Context(), "c/one", []proxy.Object{{ObjectID: proxy.ObjectID{Family: "file", ID: "file-2"}, Account: "a", Created: now}})
	s.ForgetObjects(t.Context(), "c/one", []proxy.ObjectID{{Family: "file", ID: "file-2"}})
	for key, want := range map[string]time.Duration{"oap:{o:c/one}:file": -1, "oap:{o:c/one}:file:order": -1, "oap:{o:c/one}:file:gone": state.GoneMemory,
		"oap:{o:c/one}:response": state.PassingLife, "oap:{o:c/one}:response:order": state.PassingLife} {
		left, err := s.slow.TTL(t.Context(), key).Result()
		if err != nil || left > want || want > 0 && left < want-time.Minute {
			t.Errorf("%s lives %v, %v, want %v", key, left, err, want)
		}
	}
}

// While Redis is away nobody is told that something is not there.
func TestObjectsWithoutRedis(t *testing.T) {
	server := redistest.Start(t)
	s := opened(t, server.URL())
	id := proxy.ObjectID{Family: "file", ID: "file-1"}
	defer freeze(s, server)()
	_, err1 := s.FindObjects(t.Context(), "c/one", []proxy.ObjectID{id})
	_, err2 := s.ListObjects(t.Context(), "c/one", proxy.ObjectQuery{Family: "file", Limit: 1})
	err3 := s.KeepObjects(t.Context(), "c/one", []proxy.Object{{ObjectID: id}})
	err4 := s.ForgetObjects(t.Context(), "c/one", []proxy.ObjectID{id})
	for i, err := range []error{err1, err2, err3, err4} {
		if !errors.Is(err, state.ErrUnavailable) {
			t.Errorf("%d: %v", i, err)
		}
	}
}

func TestObjectsUnderAForeignKey(t *testing.T) {
	server := redistest.Start(t)
	s := opened(t, server.URL())
	server.Do("SET", "oap:{o:c/one}:file:gone", "not ours")
	err := s.KeepObjects(t.Context(), "c/one", []proxy.Object{{ObjectID: proxy.ObjectID{Family: "file", ID: "file-1"}, Account: "a"}})
	if err == nil || !strings.Contains(err.Error(), "WRONGTYPE") {
		t.Errorf("%v", err)
	}
	if found, err := s.FindObjects(t.Context(), "c/one", []proxy.ObjectID{{Family: "file", ID: "file-1"}}); err != nil || len(found) != 0 {
		t.Errorf("half of it was written: %+v, %v", found, err)
	}
}
