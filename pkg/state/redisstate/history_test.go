package redisstate

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"openai-api-proxy/pkg/openai"
	"openai-api-proxy/pkg/redistest"
	"openai-api-proxy/pkg/state"
	"openai-api-proxy/pkg/state/statetest"
)

// batchOf is a batch of n requests by some clients, models and keys, as a replica has them.
func batchOf(n int, at time.Time) state.Batch {
	b := state.Batch{At: at}
	sums := map[state.Usage]*state.Counts{}
	for i := range n {
		client, model, key := fmt.Sprint("team-", i%20), fmt.Sprint("gpt-4o-mini-2024-07-", i%10), fmt.Sprint("key", i%5)
		one := state.Counts{Requests: 1, Successes: 1, Input: 1000, Output: 200}
		one.Observe(time.Duration(i%300) * 10 * time.Millisecond)
		for _, u := range []state.Usage{{Kind: state.OfAll}, {Kind: state.OfClient, ID: client}, {Kind: state.OfModel, ID: model},
			{Kind: state.OfKey, ID: key}, {Kind: state.OfPair, ID: state.Pair(client, model)}} {
			if sums[u] == nil {
				sums[u] = new(state.Counts)
			}
			sums[u].Plus(one)
		}
		b.Requests = append(b.Requests, statetest.Packed(state.Request{ID: fmt.Sprintf("req_%026d", i), At: at, Method: "POST", Operation: "/v1/chat/completions",
			Client: client, ClientIP: "192.0.2.17", Key: key, Model: model, Status: 200, Outcome: "succeeded", Stream: true,
			Attempts: []state.Tried{{Key: key, Account: "org-" + key, Outcome: "served", Status: 200, Took: 345678 * time.Microsecond}},
			Usage:    openai.Usage{Input: 1000, Output: 200, Basis: openai.Exact}, FirstByte: 351234 * time.Microsecond,
			Total: 2345678 * time.Microsecond, BytesIn: 4321, BytesOut: 12345, Upstream: fmt.Sprintf("req_%032d", i), Replica: "proxy-7d9f8b6c5-x2x4z"})...)
	}
	for u, c := range sums {
		u.Counts = *c
		if u.Kind != state.OfPair {
			b.Totals = append(b.Totals, u)
		}
		b.Series = append(b.Series, u)
	}
	return b
}

// remembered is how many requests the stream has.
func remembered(t *testing.T, s *Store) int {
	t.Helper()
	entries, err := s.slow.XRevRange(t.Context(), s.keys.requests(), "+", "-").Result()
	if err != nil {
		t.Fatal(err)
	}
	return len(window{}.requests(entries))
}

// counted is how many requests the totals, the series of the minute and the stream have.
func counted(t *testing.T, s *Store, at time.Time) (all [3]int64) {
	t.Helper()
	totals, err := s.Totals(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range totals.Usage {
		if u.Kind == state.OfAll {
			all[0] = u.Requests
		}
	}
	start := state.ByMinute.Start(at)
	found, err := s.Series(t.Context(), state.SeriesQuery{Step: state.ByMinute, From: start, To: start.Add(time.Minute), Kind: state.OfPair})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range found {
		all[1] += p.Requests
	}
	all[2] = int64(remembered(t, s))
	return all
}

// A batch of several parts whose first answer was lost is added once and whole: to totals, series and requests.
func TestPartsAreAddedOnce(t *testing.T) {
	server := redistest.Start(t)
	s := opened(t, server.URL())
	at := time.Now()
	const n = 3000
	b := batchOf(n, at)
	if parts := s.split(b); len(parts) < 3 {
		t.Fatalf("%d parts", len(parts))
	}
	if err := s.Count(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if got, want := counted(t, s, at), [3]int64{n, n, n}; got != want {
		t.Fatalf("totals, series, requests: %v, want %v", got, want)
	}
	thaw := freeze(s, server)
	if err := s.Count(t.Context(), b); err != nil { // sent, and run when the server goes on
		t.Fatal(err)
	}
	thaw()
	if len(s.owed) < 3 {
		t.Fatalf("%d parts are owed", len(s.owed))
	}
	time.Sleep(2 * guardRest)
	eventually(t, func() bool { return s.Count(t.Context(), state.Batch{}) == nil })
	if got, want := counted(t, s, at), [3]int64{2 * n, 2 * n, 2 * n}; got != want {
		t.Errorf("after an answer was lost: %v, want %v", got, want)
	}
	// The last part once more, under its number.
	parts := s.split(b)
	s.sent--
	if err := s.sendLocked(t.Context(), parts[0]); err != nil {
		t.Fatal(err)
	}
	if got, want := counted(t, s, at), [3]int64{2 * n, 2 * n, 2 * n}; got != want {
		t.Errorf("after a repetition: %v, want %v", got, want)
	}
}

// A batch that Redis refuses is not taken, and what was begun is finished when it can be.
func TestRefusedBatch(t *testing.T) {
	server := redistest.Start(t)
	s := opened(t, server.URL())
	at := time.Now()
	b := batchOf(3000, at)
	for _, key := range []string{s.keys.usage(), s.keys.requests(), s.keys.series(state.ByHour, at, state.OfModel), s.keys.batch(s.epoch)} {
		server.Do("DEL", key)
		server.Do("LPUSH", key, "not ours")
		if err := s.Count(t.Context(), b); err == nil || !strings.Contains(err.Error(), "WRONGTYPE") {
			t.Fatalf("%s: %v", key, err)
		}
		server.Do("DEL", key)
		if got := counted(t, s, at); got != [3]int64{} {
			t.Fatalf("%s is of another type and something was added: %v", key, got)
		}
	}
	server.Do("CONFIG", "SET", "maxmemory", "1")
	if err := s.Count(t.Context(), b); !errors.Is(err, state.ErrUnavailable) {
		t.Errorf("out of memory: %v", err)
	}
	server.Do("CONFIG", "SET", "maxmemory", "0")
	time.Sleep(2 * guardRest)
	eventually(t, func() bool { return s.Count(t.Context(), b) == nil })
	if got, want := counted(t, s, at), [3]int64{3000, 3000, 3000}; got != want {
		t.Errorf("%v, want %v", got, want)
	}
	server.Do("HSET", s.keys.usage(), "total//requests", "many")
	if err := s.Count(t.Context(), batchOf(7, at)); err != nil || counted(t, s, at)[0] != 7 {
		t.Errorf("a damaged field begins anew: %v, %v", counted(t, s, at), err)
	}
}

// Everything of the history has an end.
func TestHistoryEnds(t *testing.T) {
	s := opened(t, redistest.Start(t).URL())
	at := time.Now()
	for range 2 {
		if err := s.Count(t.Context(), batchOf(3, at)); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]time.Duration{s.keys.requests(): state.RequestsKept, s.keys.batch(s.epoch): state.SourceLife}
	for _, step := range state.Steps {
		for _, kind := range state.Kinds {
			want[s.keys.series(step, at, kind)] = step.Kept() + step.Length()
		}
	}
	for key, life := range want {
		if left := s.slow.TTL(t.Context(), key).Val(); left > life || left < life-time.Minute {
			t.Errorf("%s is kept for %v, want %v", key, left, life)
		}
	}
	// Requests of a time that is over go with the next batch, a node of the stream at a time.
	old := time.Now().Add(-state.RequestsKept - time.Hour).UnixMilli()
	if err := s.slow.Del(t.Context(), s.keys.requests()).Err(); err != nil {
		t.Fatal(err)
	}
	p := s.slow.Pipeline()
	for i := range 1000 {
		p.Do(t.Context(), "XADD", s.keys.requests(), fmt.Sprint(old, "-", i+1), "r", `{"i":"old"}`)
	}
	if _, err := p.Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Count(t.Context(), batchOf(3, at)); err != nil {
		t.Fatal(err)
	}
	if n := remembered(t, s); n < 3 || n > 103 {
		t.Errorf("%d requests are left", n)
	}
}

// An amount that a newer version added is not lost when an older one adds to the others.
func TestNewerAmountsStay(t *testing.T) {
	s := opened(t, redistest.Start(t).URL())
	at := time.Now()
	key := s.keys.series(state.ByDay, at, state.OfKey)
	s.slow.HSet(t.Context(), key, "k", "1 1 0 0 0 0 0 5 42", "short", "7")
	for _, id := range []string{"k", "short"} {
		u := state.Usage{Kind: state.OfKey, ID: id, Counts: state.Counts{Requests: 1, Output: 9007199254740990}}
		if err := s.Count(t.Context(), state.Batch{At: at, Series: []state.Usage{u}}); err != nil {
			t.Fatal(err)
		}
	}
	got := s.slow.HGetAll(t.Context(), key).Val()
	if got["k"] != "2 1 0 0 0 9007199254740990 0 5 42" || got["short"] != "8 0 0 0 0 9007199254740990" {
		t.Errorf("%q", got)
	}
}

// One answer has a bound; who asks for more is told.
func TestTooManyPoints(t *testing.T) {
	s := opened(t, redistest.Start(t).URL())
	now := time.Now()
	p := s.slow.Pipeline()
	for i := range 11 {
		fields := map[string]any{}
		for j := range 5000 {
			fields[fmt.Sprint(j)] = "1"
		}
		p.HSet(t.Context(), s.keys.series(state.ByHour, now.Add(-time.Duration(i)*time.Hour), state.OfPair), fields)
	}
	if _, err := p.Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	q := state.SeriesQuery{Step: state.ByHour, From: now.Add(-20 * time.Hour), To: now, Kind: state.OfPair}
	if _, err := s.Series(t.Context(), q); !errors.Is(err, state.ErrTooMuch) || errors.Is(err, state.ErrUnavailable) {
		t.Errorf("%v", err)
	}
	q.From = state.ByHour.Start(now.Add(-9 * time.Hour))
	if found, err := s.Series(t.Context(), q); len(found) != state.MostFound || err != nil {
		t.Errorf("%d points, %v", len(found), err)
	}
	q.From, q.ID = now.Add(-20*time.Hour), "77"
	if found, err := s.Series(t.Context(), q); len(found) != 11 || err != nil {
		t.Errorf("%d points of one, %v", len(found), err)
	}
}

// One batch of 500 requests; and what one remembered request takes of the memory of Redis.
func BenchmarkCount(b *testing.B) {
	server := redistest.Start(b)
	s := opened(b, server.URL())
	batch := batchOf(500, time.Now())
	parts := s.split(batch)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		if err := s.Count(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
		n++
	}
	size, err := s.slow.MemoryUsage(b.Context(), s.keys.requests(), 0).Result()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(size)/float64(500*n), "redis-B/request")
	b.ReportMetric(float64(len(parts)), "parts")
	stats := s.slow.Info(b.Context(), "commandstats").Val()
	for line := range strings.Lines(stats) {
		if strings.HasPrefix(line, "cmdstat_evalsha") {
			b.Log(strings.TrimSpace(line))
		}
	}
}

func BenchmarkRequests(b *testing.B) {
	s := opened(b, redistest.Start(b).URL())
	for range 50 {
		if err := s.Count(b.Context(), batchOf(500, time.Now())); err != nil {
			b.Fatal(err)
		}
	}
	for name, q := range map[string]state.RequestQuery{"page": {Limit: 100}, "id": {ID: "none", Limit: 1},
		"scan": {Limit: 1, Match: func(*state.Request) bool { return false }}} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := s.Requests(b.Context(), q); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
