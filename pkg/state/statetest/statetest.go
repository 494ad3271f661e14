// Package statetest is the suite that every state.Store must pass, and a Store that can be switched off for the tests of
// those who use one. The suite moves no clock, since that of Redis cannot be moved: where time must pass, it does.
package statetest

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
)

// Run tests the Stores that open gives. Each call of open must give a fresh view of one shared state, as replicas have;
// closing it is up to open.
func Run(t *testing.T, open func(t *testing.T) state.Store) {
	for name, test := range map[string]func(t *testing.T, s state.Store){
		"cursor":             cursor,
		"rate":               rate,
		"rate is exact":      rateIsExact,
		"retry after":        retryAfter,
		"quota":              quota,
		"quota is exact":     quotaIsExact,
		"all or nothing":     allOrNothing,
		"spending":           spending,
		"lowered burst":      loweredBurst,
		"mixed charges":      mixedAllOrNothing,
		"settle once":        settleOnce,
		"unheard":            unheard,
		"apart":              apart,
		"blocks":             blocks,
		"ended periods":      endedPeriods,
		"slots are exact":    slotsAreExact,
		"later rest wins":    laterRestWins,
		"wake":               wake,
		"names are names":    namesAreNames,
		"one claim":          oneClaim,
		"claims end":         claimsEnd,
		"failures":           failures,
		"usage":              usage,
		"usage of many":      usageOfMany,
		"cancelled contexts": cancelled,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
	for name, test := range historyTests {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
	for name, test := range alertTests {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
	for name, test := range objectTests {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

// fresh is a name that no other test uses: all of them may share one store.
func fresh(what string) string {
	return fmt.Sprintf("%s-%d-%d", what, time.Now().UnixNano(), names.Add(1))
}

var names atomic.Int64

func cursor(t *testing.T, s state.Store) {
	pool := fresh("pool")
	if first, err := s.Advance(t.Context(), pool, 1); err != nil || first != 0 {
		t.Fatalf("a new cursor stands at %d, %v", first, err)
	}
	const callers, calls, block = 16, 50, 3
	var mu sync.Mutex
	taken := map[int64]bool{0: true}
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for range calls {
				first, err := s.Advance(t.Context(), pool, block)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				for p := first; p < first+block; p++ {
					if taken[p] {
						t.Errorf("position %d given twice", p)
					}
					taken[p] = true
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for p := range int64(callers*calls*block + 1) {
		if !taken[p] {
			t.Fatalf("position %d was left out", p)
		}
	}
	if first, _ := s.Advance(t.Context(), fresh("pool"), 1); first != 0 {
		t.Errorf("another pool begins at %d", first)
	}
}

func perMinute(n, burst, cost int64) state.Charge {
	return state.Charge{Limit: "rpm", Cost: cost, Rate: state.Rate{Count: n, Per: time.Minute, Burst: burst}}
}

func inTotal(limit, cost int64) state.Charge {
	return state.Charge{Limit: "requests/total", Cost: cost, Quota: state.Quota{Limit: limit, Period: proxy.Total}}
}

func spend(t testing.TB, s state.Store, subject string, charges ...state.Charge) state.Verdict {
	t.Helper()
	v, err := s.Spend(t.Context(), subject, "", charges)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func rate(t *testing.T, s state.Store) {
	who := fresh("c:")
	hourly := func(cost int64) state.Charge {
		return state.Charge{Limit: "rpm", Cost: cost, Rate: state.Rate{Count: 1, Per: time.Hour, Burst: 5}}
	}
	for i := range int64(5) {
		v := spend(t, s, who, hourly(1))
		if !v.OK || v.Balances[0].Limit != "rpm" || v.Balances[0].Left != 4-i {
			t.Fatalf("request %d: %+v", i, v)
		}
	}
	for range 3 { // a refusal consumes nothing, so the wait does not grow
		v := spend(t, s, who, hourly(1))
		if v.OK || v.Refused != "rpm" || v.RetryAfter <= 50*time.Minute || v.RetryAfter > time.Hour {
			t.Fatalf("over the limit: %+v", v)
		}
	}
	if v := spend(t, s, who, hourly(0)); !v.OK || v.Balances[0].Left != 0 || v.Balances[0].Reset <= 4*time.Hour {
		t.Errorf("reading: %+v", v)
	}
	if v := spend(t, s, fresh("c:"), perMinute(60, 5, 6)); v.OK || v.RetryAfter >= 0 {
		t.Errorf("more than the burst can never be had: %+v", v)
	}
}

// What is admitted is at most the burst and what comes back in the time it took.
func rateIsExact(t *testing.T, s state.Store) {
	who := fresh("c:")
	const burst, perSecond = 50, 20
	charge := state.Charge{Limit: "rps", Cost: 1, Rate: state.Rate{Count: perSecond, Per: time.Second, Burst: burst}}
	var admitted atomic.Int64
	begin := time.Now()
	crowd(t, 32, 40, func() {
		if spend(t, s, who, charge).OK {
			admitted.Add(1)
		}
	})
	most := burst + int64(time.Since(begin).Seconds()*perSecond) + 1
	if n := admitted.Load(); n < burst || n > most {
		t.Errorf("%d admitted, want %d to %d", n, burst, most)
	}
}

func retryAfter(t *testing.T, s state.Store) {
	who := fresh("c:")
	charge := state.Charge{Limit: "rps", Cost: 1, Rate: state.Rate{Count: 2, Per: time.Second, Burst: 1}}
	v := spend(t, s, who, charge)
	for v.OK { // on a slow machine half a second may have passed
		v = spend(t, s, who, charge)
	}
	if v.RetryAfter <= 0 || v.RetryAfter > 500*time.Millisecond {
		t.Fatalf("%+v", v)
	}
	time.Sleep(v.RetryAfter + 2*time.Millisecond)
	if v := spend(t, s, who, charge); !v.OK {
		t.Errorf("waited and still refused: %+v", v)
	}
}

func quota(t *testing.T, s state.Store) {
	who := fresh("k:")
	day := state.Charge{Limit: "requests/day", Cost: 2, Quota: state.Quota{Limit: 5, Period: proxy.Day}}
	for i, left := range []int64{3, 1} {
		if v := spend(t, s, who, day); !v.OK || v.Balances[0].Left != left {
			t.Fatalf("charge %d: %+v", i, v)
		}
	}
	v := spend(t, s, who, day)
	if v.OK || v.Refused != "requests/day" || v.Balances[0].Left != 1 || v.RetryAfter <= 0 || v.RetryAfter > 24*time.Hour {
		t.Errorf("over the quota: %+v", v)
	}
	day.Cost = 1
	if v := spend(t, s, who, day); !v.OK || v.Balances[0].Left != 0 {
		t.Errorf("the last one: %+v", v)
	}
	if v := spend(t, s, fresh("k:"), inTotal(1, 1)); !v.OK || v.Balances[0].Reset >= 0 {
		t.Errorf("a total never comes back: %+v", v)
	}
}

func quotaIsExact(t *testing.T, s state.Store) {
	who := fresh("k:")
	var admitted atomic.Int64
	crowd(t, 32, 40, func() {
		if spend(t, s, who, inTotal(777, 1)).OK {
			admitted.Add(1)
		}
	})
	if n := admitted.Load(); n != 777 {
		t.Errorf("%d of 777 admitted", n)
	}
}

func allOrNothing(t *testing.T, s state.Store) {
	who := fresh("c:")
	few, many := inTotal(2, 1), perHour(100, 1)
	for range 2 {
		if v := spend(t, s, who, many, few); !v.OK {
			t.Fatalf("%+v", v)
		}
	}
	for range 5 {
		if v := spend(t, s, who, many, few); v.OK || v.Refused != few.Limit {
			t.Fatalf("%+v", v)
		}
	}
	if v := spend(t, s, who, perHour(100, 0)); v.Balances[0].Left != 98 {
		t.Errorf("refused requests took from the other limit: %+v", v)
	}
}

// Any mix of charges agrees with a model that only counts.
func spending(t *testing.T, s state.Store) {
	rapid.Check(t, func(r *rapid.T) {
		who := fresh("c:")
		limits := []int64{rapid.Int64Range(1, 20).Draw(r, "limit 1"), rapid.Int64Range(1, 20).Draw(r, "limit 2")}
		used := []int64{0, 0}
		for range rapid.IntRange(1, 12).Draw(r, "steps") {
			costs := []int64{rapid.Int64Range(0, 6).Draw(r, "cost 1"), rapid.Int64Range(0, 6).Draw(r, "cost 2")}
			var charges []state.Charge
			want := true
			for i, name := range []string{"requests/total", "requests/month"} {
				period := []proxy.Period{proxy.Total, proxy.Month}[i]
				charges = append(charges, state.Charge{Limit: name, Cost: costs[i], Quota: state.Quota{Limit: limits[i], Period: period}})
				want = want && (costs[i] == 0 || used[i]+costs[i] <= limits[i])
			}
			v, err := s.Spend(t.Context(), who, "", charges)
			if err != nil || v.OK != want {
				r.Fatalf("spending %v of %v with %v used: %+v, %v", costs, limits, used, v, err)
			}
			for i := range used {
				if want {
					used[i] += costs[i]
				}
				if v.Balances[i].Left != limits[i]-used[i] {
					r.Fatalf("balance %+v with %v of %v used", v.Balances[i], used, limits)
				}
			}
		}
	})
}

// A lowered burst leaves no debt that the new one does not allow.
func loweredBurst(t *testing.T, s state.Store) {
	who := fresh("c:")
	spend(t, s, who, perHour(3000, 3000))
	v := spend(t, s, who, perHour(10, 1))
	if v.OK || v.RetryAfter > 61*time.Minute {
		t.Errorf("%+v", v)
	}
}

// crowd calls f from so many goroutines, each so often.
func crowd(t *testing.T, callers, calls int, f func()) {
	t.Helper()
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for range calls {
				f()
			}
		})
	}
	wg.Wait()
}

func restFor(d time.Duration, s state.Subject) state.Rest {
	now := time.Now()
	return state.Rest{Subject: s, Reason: proxy.Cooling, Since: now, Until: now.Add(d), Repeat: 3}
}

// find is the rest of a subject; false when there is none.
func find(t testing.TB, s state.Store, subject state.Subject) (state.Rest, bool) {
	t.Helper()
	all, err := s.Rests(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range all {
		if r.Subject == subject {
			return r, true
		}
	}
	return state.Rest{}, false
}

func laterRestWins(t *testing.T, s state.Store) {
	who := state.Subject{Scope: proxy.ByModel, ID: fresh("account"), Model: "gpt-4o"}
	for _, d := range []time.Duration{time.Minute, time.Hour, time.Second} {
		if err := s.Rest(t.Context(), restFor(d, who)); err != nil {
			t.Fatal(err)
		}
	}
	r, found := find(t, s, who)
	if left := time.Until(r.Until); !found || left < 59*time.Minute || left > 61*time.Minute || r.Reason != proxy.Cooling || r.Repeat != 3 {
		t.Errorf("%+v, %v", r, found)
	}
	past := state.Subject{Scope: proxy.ByKey, ID: fresh("key")}
	s.Rest(t.Context(), restFor(-state.RestMemory/2, past))
	if _, found := find(t, s, past); !found {
		t.Error("a rest that ended lately is forgotten, and with it its repetitions")
	}
	old := state.Subject{Scope: proxy.ByKey, ID: fresh("key")}
	s.Rest(t.Context(), restFor(-2*state.RestMemory, old))
	if _, found := find(t, s, old); found {
		t.Error("an old rest is remembered")
	}
}

func wake(t *testing.T, s state.Store) {
	who, other := state.Subject{Scope: proxy.ByKey, ID: fresh("key")}, state.Subject{Scope: proxy.ByAccount, ID: fresh("key")}
	s.Rest(t.Context(), restFor(time.Hour, who))
	s.Rest(t.Context(), restFor(time.Hour, other))
	for range 2 {
		if err := s.Wake(t.Context(), who); err != nil {
			t.Fatal(err)
		}
	}
	if _, found := find(t, s, who); found {
		t.Error("still resting")
	}
	if _, found := find(t, s, other); !found {
		t.Error("another subject was woken")
	}
	s.Rest(t.Context(), restFor(time.Minute, who))
	if r, _ := find(t, s, who); time.Until(r.Until) > 2*time.Minute {
		t.Error("the rest before the waking counts still")
	}
}

// Whatever characters a name has, it names one subject.
func namesAreNames(t *testing.T, s state.Store) {
	unique := fresh("")
	subjects := []state.Subject{{Scope: proxy.ByModel, ID: "a/b" + unique, Model: "c"}, {Scope: proxy.ByModel, ID: "a" + unique, Model: "b/c"},
		{Scope: proxy.ByModel, ID: "a%2Fb" + unique, Model: "c"}, {Scope: proxy.ByModel, ID: "{x}" + unique, Model: "ä ö\n\x00"},
		{Scope: proxy.ByEndpointMdl, ID: "https://up.test/" + unique, Model: ""}}
	for i, who := range subjects {
		s.Rest(t.Context(), restFor(time.Duration(i+1)*time.Hour, who))
	}
	for i, who := range subjects {
		r, found := find(t, s, who)
		if hours := time.Until(r.Until).Round(time.Hour).Hours(); !found || hours != float64(i+1) {
			t.Errorf("%q rests for %v hours, %v", who, hours, found)
		}
	}
}

func oneClaim(t *testing.T, s state.Store) {
	who := state.Subject{Scope: proxy.ByKey, ID: fresh("key")}
	var won atomic.Int64
	crowd(t, 64, 1, func() {
		if ok, err := s.Claim(t.Context(), who, time.Minute); err != nil {
			t.Error(err)
		} else if ok {
			won.Add(1)
		}
	})
	if n := won.Load(); n != 1 {
		t.Errorf("%d of 64 won", n)
	}
}

func claimsEnd(t *testing.T, s state.Store) {
	who := state.Subject{Scope: proxy.ByKey, ID: fresh("key")}
	s.Claim(t.Context(), who, 100*time.Millisecond)
	time.Sleep(200 * time.Millisecond)
	if ok, err := s.Claim(t.Context(), who, time.Minute); !ok || err != nil {
		t.Errorf("the claim did not end: %v, %v", ok, err)
	}
	for range 2 {
		if err := s.Release(t.Context(), who); err != nil {
			t.Fatal(err)
		}
	}
	if ok, err := s.Claim(t.Context(), who, time.Minute); !ok || err != nil {
		t.Errorf("the claim was given back and is held: %v, %v", ok, err)
	}
}

func failures(t *testing.T, s state.Store) {
	key := fresh("key")
	want := state.Attempts{}
	for i := range int64(20) {
		want.Attempts += i
		want.Failures++
		got, err := s.Fail(t.Context(), key, state.Attempts{Attempts: i, Failures: 1})
		if err != nil || got != want {
			t.Fatalf("%+v, %v, want %+v", got, err, want)
		}
	}
	s.Wake(t.Context(), state.Subject{Scope: proxy.ByKey, ID: key})
	if got, _ := s.Fail(t.Context(), key, state.Attempts{Attempts: 1, Failures: 1}); got.Failures != 1 {
		t.Errorf("after a key was found well its old failures count: %+v", got)
	}
	if got, _ := s.Fail(t.Context(), fresh("key"), state.Attempts{Attempts: 1, Failures: 1}); got.Failures != 1 {
		t.Errorf("another key: %+v", got)
	}
}

func usage(t *testing.T, s state.Store) {
	id := fresh("client/with/slashes")
	one := state.Counts{Requests: 3, Successes: 2, Failures: 1, Input: 10, Cached: 4, Output: 20, Reasoning: 5}
	one.Observe(3 * time.Millisecond)
	one.Observe(2 * time.Hour)
	for range 4 {
		if err := s.Count(t.Context(), state.Batch{Totals: []state.Usage{{Kind: state.OfClient, ID: id, Counts: one}, {Kind: state.OfModel, ID: id, Counts: one}}}); err != nil {
			t.Fatal(err)
		}
	}
	var want state.Counts
	for range 4 {
		want.Plus(one)
	}
	totals, err := s.Totals(t.Context())
	if err != nil || totals.Since.IsZero() || time.Since(totals.Since) < -time.Minute {
		t.Fatalf("since %v, %v", totals.Since, err)
	}
	found := 0
	for _, u := range totals.Usage {
		if u.ID == id {
			found++
			if u.Counts != want {
				t.Errorf("%s: %+v, want %+v", u.Kind, u.Counts, want)
			}
		}
	}
	if found != 2 {
		t.Errorf("%d entries of 2", found)
	}
}

func usageOfMany(t *testing.T, s state.Store) {
	id := fresh("key")
	crowd(t, 16, 20, func() {
		if err := s.Count(t.Context(), state.Batch{Totals: []state.Usage{{Kind: state.OfKey, ID: id, Counts: state.Counts{Requests: 1}}}}); err != nil {
			t.Error(err)
		}
	})
	totals, _ := s.Totals(t.Context())
	for _, u := range totals.Usage {
		if u.ID == id && u.Requests != 320 {
			t.Errorf("%d requests counted of 320", u.Requests)
		}
	}
}

// A caller who left is no outage of the state; nothing hangs.
func cancelled(t *testing.T, s state.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Advance(ctx, fresh("pool"), 1)
		s.Spend(ctx, fresh("c:"), "", []state.Charge{perMinute(1, 1, 1)})
		s.Claim(ctx, state.Subject{Scope: proxy.ByKey, ID: fresh("key")}, time.Minute)
		askHistory(ctx, s)
		s.KeepObjects(ctx, fresh("c/"), []proxy.Object{made("file", "file-1", "a", 1)})
		s.ListObjects(ctx, fresh("c/"), proxy.ObjectQuery{Family: "file", Limit: 1})
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Error("hangs")
	}
}
