package redisstate

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/redistest"
	"openai-api-proxy/pkg/state"
	"openai-api-proxy/pkg/state/statetest"
)

func TestMain(m *testing.M) {
	Quiet()
	goleak.VerifyTestMain(m)
}

// patience is how long the stores of these tests wait for a Redis that works: what it decides is what is tested.
const patience = 20 * time.Second

func opened(t testing.TB, url string) *Store {
	t.Helper()
	s, err := Open(url, "oap", "v1", slog.New(slog.DiscardHandler), WithBudgets(patience, patience))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// freeze stops a server. Until the returned function lets it go on, the store waits for it no longer than in earnest.
func freeze(s *Store, server *redistest.Server) (thaw func()) {
	patient := s.budgets
	s.budgets = budgets{hotTimeout, slowTimeout}
	server.Freeze()
	return func() {
		server.Thaw()
		s.budgets = patient
	}
}

func TestSuite(t *testing.T) {
	server := redistest.Start(t)
	statetest.Run(t, func(t *testing.T) state.Store { return opened(t, server.URL()) })
}

func TestBounds(t *testing.T) {
	s := opened(t, redistest.Start(t).URL())
	s.mostSeries, s.mostScanned = 20, 2*scanStride+7
	statetest.Bounded(t, s, s.mostSeries, s.mostScanned)
}

// Against a model; no time passes that would matter.
func TestMachine(t *testing.T) {
	statetest.Machine(t, opened(t, redistest.Start(t).URL()), time.Now, nil)
}

var rate = state.Charge{Limit: "rpm", Cost: 1, Rate: state.Rate{Count: 1, Per: time.Minute, Burst: 5}}

// Scripts that Redis has forgotten are loaded again by whoever needs them.
func TestScriptsAreLoadedAgain(t *testing.T) {
	server := redistest.Start(t)
	s := opened(t, server.URL())
	for _, forget := range []func(){
		func() {},
		func() { server.Do("SCRIPT", "FLUSH") },
		func() { server.Kill(); server.Run() },
	} {
		forget()
		time.Sleep(2 * guardRest)
		eventually(t, func() bool {
			_, err := s.Spend(t.Context(), "c:one", "", []state.Charge{rate})
			return err == nil
		})
	}
}

func eventually(t *testing.T, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if holds() {
			return
		}
	}
	t.Fatal("not in a minute")
}

// While Redis is frozen, its connections open, callers wait for the bound of a call at most, and after a few failures
// not at all. Once it goes on they are served again, without help.
func TestFrozen(t *testing.T) {
	server := redistest.Start(t)
	s := opened(t, server.URL())
	if err := s.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	thaw := freeze(s, server)
	var slowest time.Duration
	for i := range 200 {
		begin := time.Now()
		_, err := s.Spend(t.Context(), "c:one", "", []state.Charge{rate})
		if !errors.Is(err, state.ErrUnavailable) {
			t.Fatalf("call %d: %v", i, err)
		}
		slowest = max(slowest, time.Since(begin))
	}
	t.Logf("200 calls of a frozen Redis, the slowest took %v", slowest)
	if s.DegradedSince().IsZero() {
		t.Error("nobody says so")
	}
	thaw()
	eventually(t, func() bool {
		_, err := s.Spend(t.Context(), "c:one", "", []state.Charge{rate})
		return err == nil && s.DegradedSince().IsZero()
	})
}

// A refusal of a script, such as a key of another type, is no outage; it changes nothing.
func TestForeignKey(t *testing.T) {
	server := redistest.Start(t)
	s := opened(t, server.URL())
	server.Do("SET", "oap:{c:one}", "not ours")
	for range 10 {
		if _, err := s.Spend(t.Context(), "c:one", "", []state.Charge{rate}); err == nil || !strings.Contains(err.Error(), "WRONGTYPE") {
			t.Fatalf("%v", err)
		}
	}
	if _, err := s.Spend(t.Context(), "c:two", "", []state.Charge{rate}); err != nil {
		t.Errorf("the breaker opened: %v", err)
	}
	if v, _ := server.Get("oap:{c:one}"); v != "not ours" {
		t.Errorf("the key became %q", v)
	}
}

func TestOutOfMemory(t *testing.T) {
	server := redistest.Start(t, "--maxmemory-policy", "noeviction")
	s := opened(t, server.URL())
	if _, err := s.Spend(t.Context(), "c:one", "", []state.Charge{rate}); err != nil {
		t.Fatal(err)
	}
	server.Do("CONFIG", "SET", "maxmemory", "1") // less than is used already
	if _, err := s.Spend(t.Context(), "c:one", "", []state.Charge{rate}); !errors.Is(err, state.ErrUnavailable) {
		t.Errorf("%v", err)
	}
}

// A batch whose answer was lost is added once.
func TestCountIsAddedOnce(t *testing.T) {
	server := redistest.Start(t)
	s := opened(t, server.URL())
	one := state.Batch{Totals: []state.Usage{{Kind: state.OfKey, ID: "k", Counts: state.Counts{Requests: 1}}}}
	if err := s.Count(t.Context(), one); err != nil {
		t.Fatal(err)
	}
	thaw := freeze(s, server)
	lost := s.Count(t.Context(), one) // sent, and run when the server goes on
	thaw()
	time.Sleep(2 * guardRest)
	counted := int64(2)
	eventually(t, func() bool {
		if err := s.Count(t.Context(), one); err != nil {
			return false
		}
		counted++
		return true
	})
	totals, err := s.Totals(t.Context())
	if err != nil || totals.Usage[0].Requests != counted || lost != nil {
		t.Errorf("%d counted of %d, %v, %v", totals.Usage[0].Requests, counted, lost, err)
	}
}

func TestNewerFormatIsRefused(t *testing.T) {
	server := redistest.Start(t)
	s := opened(t, server.URL())
	for format, fine := range map[string]bool{"1": true, "0": true, "2": false} {
		server.Do("SET", "oap:format", format)
		if err := s.Ping(t.Context()); (err == nil) != fine || err != nil && !strings.Contains(err.Error(), "newer version") {
			t.Errorf("format %s: %v", format, err)
		}
	}
	// A rest that a newer version wrote is left alone, the others are read.
	server.Do("SET", "oap:format", "1")
	server.Do("HSET", "oap:{rests}", "key/new/", "2 whatever", "key/broken/", "1 x y z")
	s.Rest(t.Context(), state.Rest{Subject: state.Subject{Scope: proxy.ByKey, ID: "k"}, Until: time.Now().Add(time.Hour)})
	if all, err := s.Rests(t.Context()); err != nil || len(all) != 1 || all[0].ID != "k" {
		t.Errorf("%+v, %v", all, err)
	}
}

// Each change is told to the others at once, and what was not told is found within a second or so.
func TestWatch(t *testing.T) {
	server := redistest.Start(t)
	one, two := opened(t, server.URL()), opened(t, server.URL())
	var mu sync.Mutex
	known := map[string]bool{}
	emptied := false
	defer two.Watch(watcher{func(rests []state.Rest) {
		mu.Lock()
		defer mu.Unlock()
		known = map[string]bool{}
		for _, r := range rests {
			known[r.ID] = true
		}
	}, func() { emptied = true }}, nil)()
	knows := func(id string) bool {
		mu.Lock()
		defer mu.Unlock()
		return known[id]
	}
	var took []time.Duration
	for i := range 20 {
		subject := state.Subject{Scope: proxy.ByKey, ID: fmt.Sprint("k", i)}
		begin := time.Now()
		one.Rest(t.Context(), state.Rest{Subject: subject, Until: time.Now().Add(time.Hour)})
		eventually(t, func() bool { return knows(subject.ID) })
		took = append(took, time.Since(begin))
	}
	t.Logf("told after %v", took)
	one.Wake(t.Context(), state.Subject{Scope: proxy.ByKey, ID: "k3"})
	eventually(t, func() bool { return !knows("k3") && knows("k4") })

	server.Kill() // forgets everything
	server.Run()
	eventually(t, func() bool { return !knows("k4") })
	if !emptied {
		t.Error("nobody said that Redis forgot")
	}
}

type watcher struct {
	sync   func([]state.Rest)
	retell func()
}

func (w watcher) Sync(rests []state.Rest) { w.sync(rests) }
func (w watcher) Retell()                 { w.retell() }

func TestURLs(t *testing.T) {
	for url, want := range map[string]string{
		"redis://h:6379":                               "",
		"redis://:secret@h:6379/2":                     "",
		"rediss://user:secret@h":                       "",
		"redis://h1:26379?addr=h2:26379&master_name=m": "",
		"redis://h1?addr=h2&cluster=true":              "",
		"redis://h1?addr=h2":                           "several addresses",
		"redis://h1?cluster=perhaps":                   "true or false",
		"redis://h1?cluster=true&master_name=m":        "exclude",
		"http://secret@h":                              "scheme",
		"redis://h/secret":                             "database number",
		"://secret":                                    "not a URL",
	} {
		err := Check(url)
		if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret")) {
			t.Errorf("%s: %v, want %q", url, err, want)
		}
	}
}
