package usage

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"openai-api-proxy/pkg/openai"
	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
	"openai-api-proxy/pkg/state/memstate"
)

// remembering makes a Meter that writes when it is told to, to a real store.
func remembering(t *testing.T) *Meter {
	store := memstate.New()
	t.Cleanup(func() { store.Close() })
	o := options(&bytes.Buffer{})
	o.Replica = "replica-1"
	return newMeter(store, o)
}

func day(kind state.Kind, id string) state.SeriesQuery {
	now := time.Now()
	return state.SeriesQuery{Step: state.ByDay, From: now.Add(-48 * time.Hour), To: now.Add(time.Hour), Kind: kind, ID: id}
}

// Each record is in the series of all, of its client, model, both together and each key, under the names that the totals have.
func TestSeries(t *testing.T) {
	m := remembering(t)
	m.Record(&proxy.Record{Client: "team-a", Model: "org/gpt-4o", Status: 200, Total: 1500 * time.Millisecond, Usage: openai.Usage{Output: 7},
		Attempts: []proxy.Attempt{{Key: "k1", Outcome: proxy.Throttled, Took: 40 * time.Millisecond}, {Key: "k2", Outcome: proxy.Served}}})
	m.Record(&proxy.Record{Client: "team-b", Model: "made-up", Status: 404, Total: 20 * time.Millisecond})
	if err := m.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	for kind, want := range map[state.Kind]string{
		state.OfAll:    " 2/1/1 7 tokens 1520ms",
		state.OfClient: "team-a 1/1/0 7 tokens 1500ms, team-b 1/0/1 20ms",
		state.OfModel:  "org/gpt-4o 1/1/0 7 tokens 1500ms, other 1/0/1 20ms",
		state.OfPair:   "team-a/org/gpt-4o 1/1/0 7 tokens 1500ms, team-b/other 1/0/1 20ms",
		state.OfKey:    "k1 1/0/1 40ms, k2 1/1/0 7 tokens 1500ms",
	} {
		points, err := m.Series(t.Context(), day(kind, ""))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range points {
			got = append(got, fmt.Sprintf("%s %s %dms", p.ID, brief(p.Counts), p.Time))
		}
		if strings.Join(got, ", ") != want {
			t.Errorf("%s: %q, want %q", kind, got, want)
		}
	}
	points, err := m.Series(t.Context(), day(state.OfPair, state.Pair("team-a", "org/gpt-4o")))
	if err != nil || len(points) != 1 || points[0].Requests != 1 {
		t.Errorf("one pair: %+v, %v", points, err)
	}
	totals, err := m.Totals(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range totals.Usage {
		if u.Kind == state.OfPair {
			t.Errorf("a pair in the totals: %+v", u)
		}
	}
}

func unpacked(t *testing.T, b state.Batch) (requests []state.Request) {
	t.Helper()
	for _, text := range b.Requests {
		r, err := state.UnpackRequest(text)
		if err != nil {
			t.Fatal(err)
		}
		requests = append(requests, r)
	}
	return requests
}

// A remembered request is the record, without what is too long.
func TestRemembered(t *testing.T) {
	m := remembering(t)
	start := time.Now().UTC().Truncate(time.Millisecond)
	rec := &proxy.Record{ID: "req_1", Start: start, Method: "POST", Operation: "/v1/responses", Client: "team-a", ClientIP: "192.0.2.1",
		Model: strings.Repeat("x", longestName-1) + "ä", Stream: true, Status: 502, Fault: proxy.UpstreamError, Cause: "\xff" + strings.Repeat("y", 999),
		Key: "k2", Attempts: []proxy.Attempt{{Key: "k1", Account: "a", Outcome: proxy.Throttled, Status: 429, Took: time.Millisecond},
			{Key: "k2", Account: "b", Outcome: proxy.Unreachable, Took: time.Second}},
		Usage: openai.Usage{Input: 1, Cached: 2, Output: 3, Reasoning: 4, Basis: openai.Estimated}, FirstByte: time.Second, Total: time.Minute,
		BytesIn: 5, BytesOut: 6, Upstream: "req_up"}
	m.Record(rec)
	m.Record(&proxy.Record{ID: "req_2", Start: start, Method: "GET", Status: 499, Gone: true})
	if page, err := m.Requests(t.Context(), state.RequestQuery{Limit: 10}); err != nil || len(page.Requests) != 0 {
		t.Errorf("before the write: %+v, %v", page, err)
	}
	if err := m.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := state.Request{ID: "req_1", At: start, Method: "POST", Operation: "/v1/responses", Client: "team-a", ClientIP: "192.0.2.1", Key: "k2",
		Model: strings.Repeat("x", longestName-1), Stream: true, Status: 502, Outcome: "failed", Fault: "upstream_error",
		Cause: strings.Repeat("y", longestText-1), Attempts: []state.Tried{{Key: "k1", Account: "a", Outcome: "throttled", Status: 429, Took: time.Millisecond},
			{Key: "k2", Account: "b", Outcome: "unreachable", Took: time.Second}},
		Usage: rec.Usage, FirstByte: time.Second, Total: time.Minute, BytesIn: 5, BytesOut: 6, Upstream: "req_up", Replica: "replica-1"}
	left := state.Request{ID: "req_2", At: start, Method: "GET", Status: 499, Outcome: "left", Replica: "replica-1"}
	page, err := m.Requests(t.Context(), state.RequestQuery{Limit: 10})
	if err != nil || !reflect.DeepEqual(page.Requests, []state.Request{left, want}) {
		t.Errorf("got\n%+v, %v, want\n%+v\n%+v", page.Requests, err, left, want)
	}
	page, err = m.Requests(t.Context(), state.RequestQuery{Limit: 10, ID: "req_1"})
	if err != nil || len(page.Requests) != 1 || page.Next != "" {
		t.Errorf("by id: %+v, %v", page, err)
	}
}

func TestMistakesInQueries(t *testing.T) {
	m := remembering(t)
	now := time.Now()
	series := func(change func(*state.SeriesQuery)) func() error {
		q := state.SeriesQuery{Step: state.ByMinute, From: now.Add(-time.Hour), To: now, Kind: state.OfKey}
		change(&q)
		return func() error { _, err := m.Series(t.Context(), q); return err }
	}
	requests := func(change func(*state.RequestQuery)) func() error {
		q := state.RequestQuery{Limit: 1}
		change(&q)
		return func() error { _, err := m.Requests(t.Context(), q); return err }
	}
	for name, tt := range map[string]struct {
		ask   func() error
		param string // empty: no mistake
	}{
		"series":            {series(func(q *state.SeriesQuery) {}), ""},
		"step":              {series(func(q *state.SeriesQuery) { q.Step = "year" }), "step"},
		"kind":              {series(func(q *state.SeriesQuery) { q.Kind = "" }), "kind"},
		"id of the total":   {series(func(q *state.SeriesQuery) { q.Kind, q.ID = state.OfAll, "x" }), "id"},
		"no from":           {series(func(q *state.SeriesQuery) { q.From = time.Time{} }), "from"},
		"no to":             {series(func(q *state.SeriesQuery) { q.To = time.Time{} }), "to"},
		"empty span":        {series(func(q *state.SeriesQuery) { q.To = q.From }), "to"},
		"backwards":         {series(func(q *state.SeriesQuery) { q.To = q.From.Add(-1) }), "to"},
		"as long as it may": {series(func(q *state.SeriesQuery) { q.From = now.Add(-state.MostPoints * time.Minute) }), ""},
		"too long":          {series(func(q *state.SeriesQuery) { q.From = now.Add(-state.MostPoints*time.Minute - 1) }), "from"},
		"for ever":          {series(func(q *state.SeriesQuery) { q.From = time.Unix(0, 0).AddDate(-900, 0, 0) }), "from"},
		"requests":          {requests(func(q *state.RequestQuery) { q.Limit = mostListed }), ""},
		"no limit":          {requests(func(q *state.RequestQuery) { q.Limit = 0 }), "limit"},
		"limit too high":    {requests(func(q *state.RequestQuery) { q.Limit = mostListed + 1 }), "limit"},
		"after":             {requests(func(q *state.RequestQuery) { q.After = "x" }), "after"},
		"since":             {requests(func(q *state.RequestQuery) { q.Since = "1-x" }), "since"},
		"after and since":   {requests(func(q *state.RequestQuery) { q.After, q.Since = "2-1", "1-1" }), ""},
	} {
		t.Run(name, func(t *testing.T) {
			err := tt.ask()
			var fault *proxy.Fault
			if errors.As(err, &fault) != (tt.param != "") || (tt.param == "") != (err == nil) {
				t.Fatalf("got %v", err)
			}
			if fault != nil && (fault.Kind != proxy.InvalidRequest || fault.Param != tt.param || fault.Public == "") {
				t.Errorf("got %+v, want one of %s", fault, tt.param)
			}
		})
	}
}

// An outage moves no usage to another minute, and each is counted once.
func TestOutageKeepsMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShelf()
		m := New(s, options(&bytes.Buffer{}))
		s.fail(away())
		began := state.ByMinute.Start(time.Now())
		want := map[time.Time]int64{}
		for i := range 5 * 4 { // five minutes, and in each a request every 15 s
			m.Record(&proxy.Record{ID: fmt.Sprint(i), Client: "a", Status: 200})
			want[began.Add(time.Duration(i/4)*time.Minute)]++
			time.Sleep(15 * time.Second)
		}
		s.fail(nil)
		time.Sleep(5 * time.Second)
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
		got, ids := map[time.Time]int64{}, []string{}
		for _, b := range s.batches {
			for _, u := range b.Series {
				if u.Kind == state.OfAll {
					got[b.At] += u.Requests
				}
			}
			for _, r := range unpacked(t, b) {
				ids = append(ids, r.ID)
			}
		}
		if !reflect.DeepEqual(got, want) || len(s.batches) != 5 || s.sums.requests() != 20 {
			t.Errorf("in %d batches: %v, want %v", len(s.batches), got, want)
		}
		for i, id := range ids {
			if id != fmt.Sprint(i) {
				t.Fatalf("requests in the order %v", ids)
			}
		}
	})
}

// In a long outage sums are merged, never dropped; of the requests the latest are kept, and the others counted.
func TestLongOutage(t *testing.T) {
	s := newShelf()
	m, _ := still(s)
	s.fail(away())
	const each = 100
	at := time.Now()
	write := func() {
		m.mu.Lock()
		m.cutLooseLocked(at)
		m.mu.Unlock()
		_ = m.flush(t.Context())
		at = at.Add(time.Minute)
	}
	n := 0
	for range 2 * mostLate {
		for range each {
			m.Record(&proxy.Record{ID: fmt.Sprint(n), Client: "a", Status: 200})
			n++
		}
		write()
	}
	if len(m.pending.loose.late) != mostLate || m.pending.held != mostHeld {
		t.Errorf("%d minutes and %d requests are kept", len(m.pending.loose.late), m.pending.held)
	}
	totals, err := m.Totals(t.Context())
	if !errors.Is(err, state.ErrUnavailable) {
		t.Errorf("%+v, %v", totals, err)
	}
	s.fail(nil)
	if err := m.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	var requests []state.Request
	for _, b := range s.batches {
		requests = append(requests, unpacked(t, b)...)
	}
	if len(requests) != mostHeld || requests[0].ID != fmt.Sprint(n-mostHeld) || requests[mostHeld-1].ID != fmt.Sprint(n-1) {
		t.Errorf("%d requests, from %s to %s", len(requests), requests[0].ID, requests[len(requests)-1].ID)
	}
	if got := value(t, m.forgotten); got != n-mostHeld || s.sums.requests() != int64(n) || m.pending.held != 0 {
		t.Errorf("%d requests forgotten, %d counted, want %d, %d", got, s.sums.requests(), n-mostHeld, n)
	}
}
