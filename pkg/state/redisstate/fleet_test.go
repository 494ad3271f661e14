package redisstate

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"openai-api-proxy/pkg/redistest"
	"openai-api-proxy/pkg/state"
)

// told remembers what a ConfigWatcher was told.
type told struct {
	mu       sync.Mutex // guards both
	versions []int64
	orders   []int64
}

func (w *told) CatalogChanged(version int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.versions = append(w.versions, version)
}

func (w *told) RefreshOrdered(n int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.orders = append(w.orders, n)
}

func (w *told) seen() (versions, orders []int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.versions), slices.Clone(w.orders)
}

// at reports whether the last version that was told is this one.
func (w *told) at(version int64) bool {
	versions, _ := w.seen()
	return len(versions) > 0 && versions[len(versions)-1] == version
}

var nobody = watcher{func([]state.Rest) {}, func() {}}

var anyKey = []state.Change{{Kind: state.KeyItem, ID: "a", Value: []byte("1"), Expect: state.Anything}}

func applied1(t *testing.T, s *Store) int64 {
	t.Helper()
	version, err := s.Apply(t.Context(), 0, anyKey, state.Note{})
	if err != nil {
		t.Fatal(err)
	}
	return version
}

// A change reaches another replica by its hint; what took how long is printed.
func TestCatalogHints(t *testing.T) {
	server := redistest.Start(t)
	one, two := opened(t, server.URL()), opened(t, server.URL())
	w := &told{}
	defer two.Watch(nobody, w)()
	eventually(t, func() bool { return w.at(0) })
	var took []time.Duration
	for range 50 {
		begin := time.Now()
		version := applied1(t, one)
		for !w.at(version) {
			if time.Since(begin) > 10*time.Second {
				t.Fatalf("nobody was told of version %d", version)
			}
			time.Sleep(50 * time.Microsecond)
		}
		took = append(took, time.Since(begin))
		time.Sleep(5 * time.Millisecond)
	}
	slices.Sort(took)
	t.Logf("50 changes: told after %v (median), %v (p99)", took[25], took[49])
}

// A hint that is lost costs at most a poll. So does a subscription that is cut.
func TestCatalogIsPolled(t *testing.T) {
	server := redistest.Start(t)
	one, two := opened(t, server.URL()), opened(t, server.URL())
	w := &told{}
	defer two.Watch(nobody, w)()
	eventually(t, func() bool { return w.at(0) })
	args := []any{0, "{}", 10, 10, tokenLife.Milliseconds(), "another channel", "key/a", state.Anything, ":value"}
	begin := time.Now()
	if err := one.catalog.apply.Run(t.Context(), one.slow, one.applyKeys("token"), args...).Err(); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return w.at(1) })
	t.Logf("without a hint: told after %v", time.Since(begin).Round(time.Millisecond))
	server.Do("CLIENT", "KILL", "TYPE", "pubsub")
	version := applied1(t, one)
	eventually(t, func() bool { return w.at(version) })

	known, _, err := one.Items(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	server.Do("FLUSHALL") // the version goes back
	eventually(t, func() bool { return w.at(0) })
	if err := one.Restore(t.Context(), known, version); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return w.at(version + state.RestoreLeap) })
}

// An order to refresh is told once, also to who starts to watch after it was given, and after Redis forgot the others.
func TestOrderRefresh(t *testing.T) {
	server := redistest.Start(t)
	s := opened(t, server.URL())
	order := func(want int64) {
		t.Helper()
		if n, err := s.OrderRefresh(t.Context()); err != nil || n != want {
			t.Fatalf("order %d, %v, want %d", n, err, want)
		}
	}
	fresh := &told{}
	stop := s.Watch(nobody, fresh)
	eventually(t, func() bool { return fresh.at(0) })
	stop()
	if _, orders := fresh.seen(); len(orders) != 0 {
		t.Errorf("nothing was ordered, and told %v", orders)
	}
	order(1)
	order(2)
	w := &told{}
	defer s.Watch(nobody, w)()
	hasTold := func(n int) func() bool {
		return func() bool { _, orders := w.seen(); return len(orders) == n }
	}
	eventually(t, hasTold(1))
	order(3)
	eventually(t, hasTold(2))
	applied1(t, s) // a reason to look
	eventually(t, func() bool { return w.at(1) })
	server.Do("FLUSHALL")
	eventually(t, func() bool { return w.at(0) })
	order(1)
	eventually(t, hasTold(3))
	if _, orders := w.seen(); !slices.Equal(orders, []int64{2, 3, 1}) {
		t.Errorf("told %v", orders)
	}
}

func TestFleet(t *testing.T) { fleetAndHints(t, redistest.Start(t).URL()) }

// A replica that is gone is left out, though nobody has swept it away yet; one that is not described is listed.
func TestFleetLeavesOutTheGone(t *testing.T) {
	server := redistest.Start(t)
	s := opened(t, server.URL())
	if all, err := s.Fleet(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("before the first heartbeat: %+v, %v", all, err)
	}
	if err := s.BeatNow(t.Context()); err != nil {
		t.Fatal(err)
	}
	now, err := s.slow.Time(t.Context()).Result()
	if err != nil {
		t.Fatal(err)
	}
	server.Do("ZADD", "oap:{replicas}", fmt.Sprint(now.Add(-goneAfter).UnixMilli()), "gone")
	server.Do("ZADD", "oap:{replicas}", fmt.Sprint(now.UnixMilli()), "00-older-version")
	server.Do("HSET", "oap:{replicas}:info", "gone", `{"id":"gone"}`)
	if all, err := s.Fleet(t.Context()); err != nil || len(all) != 2 || all[0].ID != "00-older-version" || all[1].ID != s.ID() {
		t.Errorf("%+v, %v", all, err)
	}
	if s.BeatNow(t.Context()); s.slow.HExists(t.Context(), "oap:{replicas}:info", "gone").Val() {
		t.Error("its description stays")
	}
}

// fleetAndHints is what replicas see of one another.
func fleetAndHints(t *testing.T, url string) {
	one, two := opened(t, url), opened(t, url)
	since := time.Now().UTC().Truncate(time.Second)
	describes := func(s *Store, config state.ReplicaConfig) {
		s.Describe(func() state.Replica {
			return state.Replica{ID: "not this", Host: "h", Address: "192.0.2.1:10000", Version: "v2", Started: since, Config: config,
				Ready: true, Serving: 3}
		})
	}
	w := &told{}
	describes(one, state.ReplicaConfig{Version: 1})
	stopOne, stopTwo := one.Watch(nobody, nil), two.Watch(nobody, w)
	defer stopTwo()
	living := func() []state.Replica {
		all, err := two.Fleet(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	eventually(t, func() bool { return len(living()) == 2 })
	all := living()
	if all[0].ID > all[1].ID {
		t.Errorf("not sorted: %+v", all)
	}
	config := state.ReplicaConfig{Fingerprint: "f", Version: 7, Refreshed: 2, Loaded: since, Error: "line 3", ErrorSince: &since}
	describes(one, config)
	one.SetConfiguration("another")
	if err := one.BeatNow(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, r := range living() {
		switch {
		case r.ID == two.ID(): // does not describe itself
			if r != (state.Replica{ID: two.ID()}) {
				t.Errorf("%+v", r)
			}
		case r.ID != one.ID() || r.Host != "h" || !r.Ready || r.Serving != 3 || !r.Started.Equal(since) || r.Config.Fingerprint != "f" ||
			r.Config.Version != 7 || r.Config.Refreshed != 2 || r.Config.Error != "line 3" || !r.Config.ErrorSince.Equal(since):
			t.Errorf("%+v", r)
		}
	}
	eventually(t, func() bool { return two.Configurations() == 2 && two.Replicas() == 2 })
	version := applied1(t, one) // in another slot of a Cluster, as are the orders
	n, err := one.OrderRefresh(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool {
		_, orders := w.seen()
		return w.at(version) && slices.Contains(orders, n)
	})
	one.SetConfiguration("v1")
	eventually(t, func() bool { return two.Configurations() == 1 })
	stopOne()
	eventually(t, func() bool { all := living(); return len(all) == 1 && all[0].ID == two.ID() })
}
