package statetest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"openai-api-proxy/pkg/openai"
	"openai-api-proxy/pkg/state"
)

// historyTests are the part of Run about what happened when.
var historyTests = map[string]func(t *testing.T, s state.Store){
	"series":                  series,
	"series of odd names":     seriesOfOddNames,
	"series of ranges":        seriesOfRanges,
	"series of many":          seriesOfMany,
	"a large batch":           largeBatch,
	"requests":                requests,
	"batches come once":       batchesComeOnce,
	"request by id":           requestByID,
	"requests are followed":   requestsAreFollowed,
	"requests in pages":       requestsInPages,
	"positions are positions": positionsArePositions,
}

func count(t testing.TB, s state.Store, b state.Batch) {
	t.Helper()
	if err := s.Count(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}

// Packed are requests as a batch has them.
func Packed(requests ...state.Request) (texts [][]byte) {
	for _, r := range requests {
		texts = append(texts, r.Pack())
	}
	return texts
}

func points(t testing.TB, s state.Store, q state.SeriesQuery) []state.Point {
	t.Helper()
	found, err := s.Series(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func page(t testing.TB, s state.Store, q state.RequestQuery) state.Page {
	t.Helper()
	p, err := s.Requests(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// around is a query for what a step has about a time.
func around(step state.Step, at time.Time, kind state.Kind, id string) state.SeriesQuery {
	return state.SeriesQuery{Step: step, From: step.Start(at), To: step.Start(at).Add(step.Length()), Kind: kind, ID: id}
}

var some = state.Counts{Requests: 3, Successes: 2, Failures: 1, Input: 10, Cached: 4, Output: 20, Reasoning: 5, Time: 1234}

// One batch is in the totals and in its minute, hour and day; latencies are in the totals alone.
func series(t *testing.T, s state.Store) {
	at := time.Now().Add(-time.Hour)
	key, model := fresh("key"), fresh("model")
	client := fresh("client")
	used := some
	used.Observe(time.Second)
	list := []state.Usage{{Kind: state.OfKey, ID: key, Counts: used}, {Kind: state.OfModel, ID: model, Counts: used},
		{Kind: state.OfClient, ID: client, Counts: used}}
	pair := state.Usage{Kind: state.OfPair, ID: state.Pair(client, model), Counts: used}
	for range 2 {
		count(t, s, state.Batch{At: at, Totals: list, Series: append(list[:3:3], pair)})
	}
	want := used
	want.Plus(used)
	totals, err := s.Totals(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range list {
		if !slices.Contains(totals.Usage, state.Usage{Kind: u.Kind, ID: u.ID, Counts: want}) {
			t.Errorf("%s %s is not in the totals", u.Kind, u.ID)
		}
	}
	want.Latency = [state.LatencyBuckets]int64{}
	for _, step := range state.Steps {
		for _, u := range append(list[:3:3], pair) {
			found := points(t, s, around(step, at, u.Kind, u.ID))
			point := state.Point{At: step.Start(at), Usage: state.Usage{Kind: u.Kind, ID: u.ID, Counts: want}}
			if !reflect.DeepEqual(found, []state.Point{point}) {
				t.Errorf("%s of %s %s: %+v, want %+v", step, u.Kind, u.ID, found, point)
			}
			if all := points(t, s, around(step, at, u.Kind, "")); !slices.Contains(all, point) {
				t.Errorf("%s of all of %s: %+v", step, u.Kind, all)
			}
		}
	}
}

func seriesOfOddNames(t *testing.T, s state.Store) {
	unique, at := fresh(""), time.Now()
	var list []state.Usage
	for i, name := range []string{"ft:gpt-4o:acme::7p4lURel", "org/model/with/slashes", "a b.c", "a", "{brace}", "ä模型\U0001F600", "per%2Fcent",
		"new\nline", "with\x00zero", "12", "-1"} {
		for j, kind := range []state.Kind{state.OfModel, state.OfPair, state.OfClient} {
			list = append(list, state.Usage{Kind: kind, ID: name + unique, Counts: state.Counts{Requests: int64(1 + i*10 + j)}})
		}
	}
	count(t, s, state.Batch{At: at, Totals: list, Series: list})
	totals, _ := s.Totals(t.Context())
	for _, u := range list {
		want := state.Point{At: state.ByDay.Start(at), Usage: u}
		if found := points(t, s, around(state.ByDay, at, u.Kind, u.ID)); len(found) != 1 || found[0] != want {
			t.Errorf("%s %q: %+v", u.Kind, u.ID, found)
		}
		if !slices.Contains(points(t, s, around(state.ByHour, at, u.Kind, "")), state.Point{At: state.ByHour.Start(at), Usage: u}) {
			t.Errorf("%s %q is not among all", u.Kind, u.ID)
		}
		if !slices.Contains(totals.Usage, u) {
			t.Errorf("%s %q is not in the totals", u.Kind, u.ID)
		}
	}
}

// Steps come oldest first, from the one that begins at From to the one before To, and by id within a step.
func seriesOfRanges(t *testing.T, s state.Store) {
	a, b := fresh("a"), fresh("b")
	now := state.ByMinute.Start(time.Now())
	for _, ago := range []int{1, 5, 3, 9, 4} { // in no order
		at := now.Add(-time.Duration(ago)*time.Minute + 30*time.Second)
		count(t, s, state.Batch{At: at, Series: []state.Usage{{Kind: state.OfKey, ID: b, Counts: state.Counts{Requests: int64(ago)}},
			{Kind: state.OfKey, ID: a, Counts: state.Counts{Requests: int64(ago)}}}})
	}
	minute := func(ago int) time.Time { return now.Add(-time.Duration(ago) * time.Minute) }
	for name, tt := range map[string]struct {
		from, to time.Time
		want     []int64
	}{
		"all":             {minute(10), now, []int64{9, 5, 4, 3, 1}},
		"both ends":       {minute(5), minute(1), []int64{5, 4, 3}},
		"within a minute": {minute(5).Add(time.Second), minute(3).Add(time.Second), []int64{4, 3}},
		"nothing":         {minute(8), minute(6), nil},
		"backwards":       {minute(1), minute(9), nil},
		"since ever":      {time.Time{}, now.Add(time.Hour), []int64{9, 5, 4, 3, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			q := state.SeriesQuery{Step: state.ByMinute, From: tt.from, To: tt.to, Kind: state.OfKey, ID: a}
			var got []int64
			for _, p := range points(t, s, q) {
				got = append(got, p.Requests)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
			q.ID = ""
			all := points(t, s, q)
			if !slices.IsSortedFunc(all, func(x, y state.Point) int { return cmp.Or(x.At.Compare(y.At), cmp.Compare(x.ID, y.ID)) }) {
				t.Errorf("not in order: %+v", all)
			}
			ours := slices.DeleteFunc(all, func(p state.Point) bool { return p.ID != a && p.ID != b })
			if len(ours) != 2*len(tt.want) {
				t.Errorf("%d points of both, want %d", len(ours), 2*len(tt.want))
			}
		})
	}
}

func seriesOfMany(t *testing.T, s state.Store) {
	id, at := fresh("key"), time.Now()
	crowd(t, 16, 20, func() {
		one := []state.Usage{{Kind: state.OfKey, ID: id, Counts: some}}
		if err := s.Count(t.Context(), state.Batch{At: at, Totals: one, Series: one, Requests: Packed(state.Request{ID: id, Client: id})}); err != nil {
			t.Error(err)
		}
	})
	if p := points(t, s, around(state.ByDay, at, state.OfKey, id)); len(p) != 1 || p[0].Requests != 3*320 || p[0].Time != 1234*320 {
		t.Errorf("%+v", p)
	}
	if p := page(t, s, state.RequestQuery{Limit: 1000, Match: of(id)}); len(p.Requests) != 320 {
		t.Errorf("%d requests remembered of 320", len(p.Requests))
	}
}

// A batch that has a source is added once, however often it is sent, and whoever sends it.
func batchesComeOnce(t *testing.T, s state.Store) {
	source, id, at := fresh("source"), fresh("key"), time.Now()
	send := func(source string, number int64) {
		one := []state.Usage{{Kind: state.OfKey, ID: id, Counts: state.Counts{Requests: 1, Cost: 1_500_000_001, Unpriced: 2}}}
		count(t, s, state.Batch{At: at, Totals: one, Series: one, Requests: Packed(state.Request{ID: fresh("req"), Client: id}),
			Source: source, Number: number})
	}
	for number := range int64(20) {
		send(source, number+1)
		send(source, number+1)
		send(fresh("other"), number+1)
	}
	send(source, 7)
	send(source, 20)
	if n := s.Counted(fresh("source")); n != 0 {
		t.Errorf("of a source that never was: %d", n)
	}
	for end := time.Now().Add(time.Minute); s.Counted(source) != 20; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("counted for good: %d, want 20", s.Counted(source))
		}
	}
	want := state.Counts{Requests: 40, Cost: 40 * 1_500_000_001, Unpriced: 80}
	if p := points(t, s, around(state.ByDay, at, state.OfKey, id)); len(p) != 1 || p[0].Counts != want {
		t.Errorf("in the series: %+v", p)
	}
	totals, _ := s.Totals(t.Context())
	i := slices.IndexFunc(totals.Usage, func(u state.Usage) bool { return u.ID == id })
	if i < 0 || totals.Usage[i].Counts != want {
		t.Errorf("in the totals: %+v", totals.Usage)
	}
	if p := page(t, s, state.RequestQuery{Limit: 1000, Match: of(id)}); len(p.Requests) != 40 {
		t.Errorf("%d requests remembered, want 40", len(p.Requests))
	}
}

// A batch may be larger than what a store takes at once, and name a series twice.
func largeBatch(t *testing.T, s state.Store) {
	unique, at := fresh(""), time.Now()
	b := state.Batch{At: at}
	for i := range 1500 {
		u := state.Usage{Kind: state.OfPair, ID: fmt.Sprint(unique, i%1400), Counts: some}
		u.Observe(time.Duration(i) * time.Millisecond)
		b.Series = append(b.Series, u)
		u.Kind = state.OfKey
		b.Totals = append(b.Totals, u)
		b.Requests = append(b.Requests, Packed(state.Request{ID: fmt.Sprint(unique, i), Client: unique})...)
	}
	count(t, s, b)
	var got int64
	for _, p := range points(t, s, around(state.ByHour, at, state.OfPair, "")) {
		if len(p.ID) > len(unique) && p.ID[:len(unique)] == unique {
			got += p.Requests
		}
	}
	totals, _ := s.Totals(t.Context())
	var all int64
	for _, u := range totals.Usage {
		if len(u.ID) > len(unique) && u.ID[:len(unique)] == unique {
			all += u.Requests
		}
	}
	if got != 4500 || all != 4500 {
		t.Errorf("%d requests in the series, %d in the totals, want 4500", got, all)
	}
	p := page(t, s, state.RequestQuery{Limit: 2000, Match: of(unique)})
	if len(p.Requests) != 1500 || p.Requests[0].ID != fmt.Sprint(unique, 1499) {
		t.Errorf("%d requests remembered", len(p.Requests))
	}
}

// of matches the requests of a client.
func of(client string) func(*state.Request) bool {
	return func(r *state.Request) bool { return r.Client == client }
}

// A request comes back as it was, to the millisecond of its beginning and the microsecond of its spans.
func requests(t *testing.T, s state.Store) {
	client := fresh("client")
	at := time.Now().UTC().Truncate(time.Millisecond)
	plain := state.Request{ID: fresh("req"), At: at, Method: "POST", Operation: "/v1/chat/completions", Client: client, ClientIP: "192.0.2.1",
		Key: "k1", Model: "gpt-4o", Status: 200, Outcome: "succeeded", Usage: openai.Usage{Input: 1, Output: 2, Basis: openai.Exact},
		Attempts:  []state.Tried{{Key: "k1", Account: "k1", Outcome: "served", Status: 200, Took: 3 * time.Microsecond}},
		FirstByte: 5 * time.Millisecond, Total: time.Second, BytesIn: 7, BytesOut: 8, Upstream: "req_x", Replica: "r1"}
	odd := plain
	odd.ID, odd.Method, odd.Status, odd.Outcome, odd.Stream = fresh("req"), "GET", 502, "failed", true
	odd.Fault, odd.Cause, odd.Model = "upstream_error", "connection \"reset\"\n", "ft:ä/\U0001F600 <b>"
	odd.Cost, odd.Priced = 1234567890123, true
	odd.Usage = openai.Usage{Output: 9, Reasoning: 3, Basis: openai.Partial}
	odd.Attempts = []state.Tried{{Key: "k2", Account: "org-a", Outcome: "throttled", Status: 429, Took: time.Second},
		{Key: "k1", Account: "org-b", Outcome: "unreachable"}}
	odd.Why, odd.Bodies = []byte(`{"a":[1]}`), &state.Bodies{Request: "{", Response: "]", Cut: true}
	least := state.Request{ID: fresh("req"), At: at, Method: "POST", Status: 200, Outcome: "succeeded", Client: client, Priced: true}
	count(t, s, state.Batch{Requests: Packed(plain)})
	count(t, s, state.Batch{Requests: Packed(odd, least)})
	p := page(t, s, state.RequestQuery{Limit: 100, Match: of(client)})
	if want := []state.Request{least, odd, plain}; !reflect.DeepEqual(p.Requests, want) {
		t.Errorf("got\n%+v\nwant\n%+v", p.Requests, want)
	}
}

func requestByID(t *testing.T, s state.Store) {
	client := fresh("client")
	var ids []string
	for range 50 {
		ids = append(ids, fresh("req"))
		count(t, s, state.Batch{Requests: Packed(state.Request{ID: ids[len(ids)-1], Client: client, Upstream: ids[0]})})
	}
	for _, id := range []string{ids[0], ids[20], ids[49]} {
		p := page(t, s, state.RequestQuery{ID: id, Limit: 10})
		if len(p.Requests) != 1 || p.Requests[0].ID != id || p.Next != "" {
			t.Errorf("%s: %+v, next %q", id, p.Requests, p.Next)
		}
	}
	if p := page(t, s, state.RequestQuery{ID: ids[3], Limit: 10, Match: of("somebody else")}); len(p.Requests) != 0 {
		t.Errorf("found although it does not match: %+v", p)
	}
	if p := page(t, s, state.RequestQuery{ID: fresh("none"), Limit: 10}); len(p.Requests) != 0 {
		t.Errorf("found %+v", p)
	}
}

// remember remembers n requests of the client, in batches of random lengths, and returns their ids, newest first.
func remember(t *testing.T, s state.Store, client string, n int) (ids []string) {
	t.Helper()
	for len(ids) < n {
		var b state.Batch
		for range min(1+rand.IntN(7), n-len(ids)) {
			ids = append(ids, fresh("req"))
			b.Requests = append(b.Requests, Packed(state.Request{ID: ids[len(ids)-1], Client: client})...)
		}
		count(t, s, b)
	}
	slices.Reverse(ids)
	return ids
}

func idsOf(requests []state.Request) (ids []string) {
	for _, r := range requests {
		ids = append(ids, r.ID)
	}
	return ids
}

// Who follows gets each request once, however many come between two looks, and whatever else comes between them.
func requestsAreFollowed(t *testing.T, s state.Store) {
	client, other := fresh("client"), fresh("client")
	remember(t, s, client, 5)
	since := page(t, s, state.RequestQuery{Limit: 1, Match: of(client)}).Newest
	for _, n := range []int{0, 1, 3, 12, 0, 2} {
		remember(t, s, other, n)
		want := remember(t, s, client, n)
		remember(t, s, other, n)
		var got []string
		next, newest := "", ""
		for first := true; first || next != ""; first = false {
			p := page(t, s, state.RequestQuery{Since: since, After: next, Limit: 5, Match: of(client)})
			if first {
				newest = p.Newest
			} else if p.Newest != "" {
				t.Errorf("a page further on says that the newest is %q", p.Newest)
			}
			got, next = append(got, idsOf(p.Requests)...), p.Next
		}
		if !slices.Equal(got, want) {
			t.Fatalf("after %d more got %v, want %v", n, got, want)
		}
		if newest == "" || n == 0 && newest != since {
			t.Fatalf("the newest stands at %q, that of before at %q", newest, since)
		}
		since = newest
	}
}

// Pages of any length, joined, are all requests; new ones do not disturb them.
func requestsInPages(t *testing.T, s state.Store) {
	client := fresh("client")
	want := remember(t, s, client, 40)
	for _, limit := range []int{1, 7, 39, 40, 41} {
		var got []string
		next := ""
		for first := true; first || next != ""; first = false {
			p := page(t, s, state.RequestQuery{After: next, Limit: limit, Match: of(client)})
			if len(p.Requests) > limit {
				t.Fatalf("%d requests on a page of %d", len(p.Requests), limit)
			}
			got, next = append(got, idsOf(p.Requests)...), p.Next
			remember(t, s, fresh("other"), 1)
		}
		if !slices.Equal(got, want) {
			t.Errorf("in pages of %d got %v, want %v", limit, got, want)
		}
	}
}

func positionsArePositions(t *testing.T, s state.Store) {
	remember(t, s, fresh("client"), 1)
	for _, text := range []string{"x", "-", "1", "1-", "-1", "1-x", "(1-1", "+", "1-1-1", "-1-1", "0-1", "99999999999999999999-1", "1-18446744073709551615"} {
		for _, q := range []state.RequestQuery{{Limit: 1, After: text}, {Limit: 1, Since: text}} {
			if _, err := s.Requests(t.Context(), q); !errors.Is(err, state.ErrPosition) || errors.Is(err, state.ErrUnavailable) {
				t.Errorf("%+v: %v", q, err)
			}
		}
	}
	if p := page(t, s, state.RequestQuery{Limit: 1, After: "1-0"}); len(p.Requests) != 0 || p.Next != "" || p.Newest != "" {
		t.Errorf("before all: %+v", p)
	}
	future := "9007199254740991-0"
	if p := page(t, s, state.RequestQuery{Limit: 1, Since: future}); len(p.Requests) != 0 || p.Next != "" || p.Newest != future {
		t.Errorf("after all: %+v", p)
	}
	if p := page(t, s, state.RequestQuery{Limit: 1, After: future}); len(p.Requests) != 1 {
		t.Errorf("before what is to come: %+v", p)
	}
}

// Bounded tests a fresh Store whose bounds have been lowered: to series in one step, and to remembered requests that one
// query looks at.
func Bounded(t *testing.T, s state.Store, mostSeries, mostScanned int) {
	t.Run("series", func(t *testing.T) { seriesAreBounded(t, s, mostSeries) })
	t.Run("scans", func(t *testing.T) { scansAreBounded(t, s, mostScanned) })
}

func seriesAreBounded(t *testing.T, s state.Store, most int) {
	at := time.Now()
	const rounds = 3
	var want int64
	for range rounds { // those that were first keep their series
		b := state.Batch{At: at}
		for i := range most {
			for _, kind := range []state.Kind{state.OfClient, state.OfModel} {
				b.Series = append(b.Series, state.Usage{Kind: kind, ID: fmt.Sprint(i), Counts: some})
			}
		}
		b.Series = append(b.Series, state.Usage{Kind: state.OfAll, Counts: some})
		count(t, s, b)
		want += int64(most) * some.Requests
	}
	for _, step := range state.Steps {
		all := 0
		for _, kind := range []state.Kind{state.OfClient, state.OfModel} {
			var sum, others int64
			for _, p := range points(t, s, around(step, at, kind, "")) {
				all++
				sum += p.Requests
				if p.ID == state.OtherSeries {
					others += p.Requests
				} else if p.Requests != rounds*some.Requests {
					t.Errorf("%s of %s %s has %d requests", step, kind, p.ID, p.Requests)
				}
			}
			if sum != want {
				t.Errorf("%s of %s: %d requests, %d of them for others, want %d", step, kind, sum, others, want)
			}
		}
		if total := points(t, s, around(step, at, state.OfAll, "")); len(total) != 1 || total[0].Requests != rounds*some.Requests {
			t.Errorf("%s of all: %+v", step, total)
		}
		if all < most || all > most+2 {
			t.Errorf("%d series in a %s, want %d and others", all, step, most)
		}
	}
}

func scansAreBounded(t *testing.T, s state.Store, most int) {
	client := fresh("client")
	want := remember(t, s, client, 1)
	remember(t, s, fresh("other"), 3*most)
	looked, pages, next := 0, 0, ""
	var got []string
	for first := true; first || next != ""; first = false {
		before := looked
		p := page(t, s, state.RequestQuery{After: next, Limit: 10, Match: func(r *state.Request) bool {
			looked++
			return r.Client == client
		}})
		if looked-before > most {
			t.Fatalf("looked at %d, want %d at most", looked-before, most)
		}
		pages++
		got, next = append(got, idsOf(p.Requests)...), p.Next
	}
	if !slices.Equal(got, want) || pages < 4 {
		t.Errorf("found %v on %d pages, want %v", got, pages, want)
	}
	p := page(t, s, state.RequestQuery{ID: want[0], Limit: 1})
	if len(p.Requests) != 0 || p.Next == "" {
		t.Errorf("by id: %+v", p)
	}
}

// A context that has ended is no reason to hang; see cancelled.
func askHistory(ctx context.Context, s state.Store) {
	now := time.Now()
	s.Count(ctx, state.Batch{At: now, Series: []state.Usage{{Kind: state.OfAll, Counts: some}}})
	s.Series(ctx, around(state.ByDay, now, state.OfAll, ""))
	s.Requests(ctx, state.RequestQuery{Limit: 1})
}
