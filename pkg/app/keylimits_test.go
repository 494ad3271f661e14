package app_test

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"openai-api-proxy/pkg/mockopenai"
	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/redistest"
)

// held is what Redis has of a quota of a key or an account: a field of its hash.
func held(t *testing.T, r *redistest.Server, subject, limit string) int64 {
	t.Helper()
	text, err := r.Field("oap:{"+subject+"}", limit)
	if err != nil {
		return -1
	}
	_, used, _ := strings.Cut(text, ":")
	n, err := strconv.ParseInt(used, 10, 64)
	if err != nil {
		t.Fatalf("%s is %q", limit, text)
	}
	return n
}

// limits are those of a key as /api/keys tells them, by whose they are and their names.
func (r *rig) limits(t *testing.T, id string) map[string]struct{ Most, Used, Left int64 } {
	t.Helper()
	var k struct {
		Limits []struct {
			Of, Limit        string
			Most, Used, Left int64
		}
	}
	if a := r.get(t, "/api/keys/"+id, adminToken); json.Unmarshal([]byte(a.body), &k) != nil {
		t.Fatalf("%d %s", a.status, a.body)
	}
	all := map[string]struct{ Most, Used, Left int64 }{}
	for _, l := range k.Limits {
		all[l.Of+" "+l.Limit] = struct{ Most, Used, Left int64 }{l.Most, l.Used, l.Left}
	}
	return all
}

// acquainted waits until each replica knows of all others.
func acquainted(t *testing.T, replicas ...*rig) {
	t.Helper()
	want := fmt.Sprintf("oap_replicas %d\n", len(replicas))
	for i, r := range replicas {
		eventually(t, fmt.Sprintf("replica %d knows of all", i), func() bool {
			return strings.Contains(r.get(t, "/metrics", adminToken).body, want)
		})
	}
}

// The limits of keys and accounts hold at two replicas together: no key gets more than it may, and when all of them are at
// their limits the caller hears when the first frees.
func TestKeyLimitsOfAFleet(t *testing.T) {
	mock, url := upstream(t, mockopenai.WithSettings(mockopenai.Settings{ContentBytes: 4}))
	server := redistest.Start(t)
	began := time.Now()
	replicas := fleet(t, server, 2, map[string]string{"OPENAI_BASE_URL": url, "LOG_LEVEL": "warn", "CONFIG_FILE": "c.json", "OPENAI_API_KEY": keyNumber(1),
		"file": fmt.Sprintf(`{"keys":[{"id":"a","key":%q,"rpm":60},{"id":"b","key":%q,"account":"org"},{"id":"c","key":%q,"account":"org","rpm":30},
			{"id":"d","key":%q,"quota":[{"requests":40,"period":"total"}]}],"accounts":[{"id":"org","rpm":120}]}`,
			keyNumber(1), keyNumber(2), keyNumber(3), keyNumber(4))})
	acquainted(t, replicas...)
	statuses := map[int]int{}
	var refused answer
	for _, a := range crowd(8, 600, func(i int) answer { return replicas[i%2].chat(t, plain) }) {
		if statuses[a.status]++; a.status != 200 {
			refused = a
		}
	}
	passed := time.Since(began) + time.Second
	stats := mock.Stats()
	got := func(i int) float64 { return float64(stats[keyNumber(i)].Requests) }
	for what, is := range map[string][2]float64{"a": {got(1), 60}, "org": {got(2) + got(3), 120}, "c": {got(3), 30}} {
		if most := is[1] + is[1]*passed.Minutes(); is[0] > most || is[0] < is[1]*.9 && what != "c" {
			t.Errorf("%s: %v requests, at most %.1f", what, is[0], most)
		}
	}
	if got(4) != 40 || statuses[200] < 210 || statuses[200]+statuses[429] != 600 {
		t.Errorf("d had %v requests; answers %v", got(4), statuses)
	}
	if after, _ := strconv.Atoi(refused.header.Get("Retry-After")); refused.code() != "rate_limit_exceeded" || after < 1 || after > 60 {
		t.Errorf("%v %s", refused.header, refused.body)
	}
	for i, r := range replicas {
		eventually(t, fmt.Sprintf("replica %d knows that d is used up", i), func() bool { return r.keyState(t, "d") == "exhausted" })
		if l := r.limits(t, "c"); l["account rpm"].Most != 120 || l["key rpm"].Most != 30 {
			t.Errorf("replica %d: %+v", i, l)
		}
	}
}

// So many requests at the same time with one key, over both replicas, and one after the other at the limit is no problem.
func TestKeySlotsOfAFleet(t *testing.T) {
	mock, url := upstream(t, mockopenai.WithSettings(mockopenai.Settings{ContentBytes: 4, LatencyMS: 50}))
	server := redistest.Start(t)
	replicas := fleet(t, server, 2, map[string]string{"OPENAI_BASE_URL": url, "LOG_LEVEL": "warn",
		"OPENAI_API_KEYS": fmt.Sprintf(`[{"id":"a","key":%q,"concurrency":6},{"id":"b","key":%q,"concurrency":3}]`, keyNumber(1), keyNumber(2))})
	acquainted(t, replicas...)
	statuses := map[int]int{}
	for _, a := range crowd(16, 300, func(i int) answer { return replicas[i%2].chat(t, streamed) }) {
		statuses[a.status]++
	}
	a, b := mock.Stats()[keyNumber(1)], mock.Stats()[keyNumber(2)]
	if a.MaxInFlight > 6 || b.MaxInFlight > 3 || a.MaxInFlight < 3 || statuses[200] == 0 || statuses[200]+statuses[429] != 300 {
		t.Errorf("%d and %d at the same time; answers %v", a.MaxInFlight, b.MaxInFlight, statuses)
	}
	eventually(t, "all slots are free", func() bool {
		return len(server.Keys("oap:{k:a}:slots"))+len(server.Keys("oap:{k:b}:slots")) == 0
	})
	for i := range 20 {
		if a := replicas[1].chat(t, plain); a.status != 200 {
			t.Fatalf("request %d of one after the other: %d %s", i, a.status, a.body)
		}
	}
}

// What is charged to a key and its account is what was used, and near the end of a quota nothing is begun that is not
// expected to fit.
func TestKeyTokensOfAFleet(t *testing.T) {
	mock, url := upstream(t, mockopenai.WithSettings(mockopenai.Settings{Chunks: 60, ContentBytes: 240}))
	server := redistest.Start(t)
	replicas := fleet(t, server, 2, map[string]string{"OPENAI_BASE_URL": url, "LOG_LEVEL": "warn", "CONFIG_FILE": "c.json",
		"file": fmt.Sprintf(`{"keys":[{"id":"a","key":%q,"account":"org","tpm":900000000,"quota":{"tokens":1000000,"period":"month"}}],
			"accounts":[{"id":"org","quota":{"tokens":20000,"period":"total"}}]}`, keyNumber(1))})
	statuses := map[int]int{}
	ask := func(n int) {
		for _, a := range crowd(8, n, func(i int) answer {
			return replicas[i%2].chat(t, map[bool]string{true: plain, false: streamed}[i%3 == 0])
		}) {
			statuses[a.status]++
		}
	}
	bill := func() int64 { s := mock.Stats()[keyNumber(1)]; return s.InputTokens + s.OutputTokens }
	acquainted(t, replicas...)
	ask(60)
	eventually(t, "all is told", func() bool {
		return bill() > 0 && held(t, server, "k:a", "tokens/month") == bill() && held(t, server, "a:org", "tokens/total") == bill()
	})
	for range 10 {
		ask(60)
		if bill() > 20000 {
			t.Fatalf("%d tokens of 20000", bill())
		}
	}
	if bill() < 15000 || statuses[503]+statuses[429] == 0 {
		t.Errorf("%d tokens of 20000; answers %v", bill(), statuses)
	}
}

// A busy key with limits costs next to no round trips; near its end a request costs one.
func TestRoundTripsOfKeyLimits(t *testing.T) {
	_, url := upstream(t, mockopenai.WithSettings(mockopenai.Settings{ContentBytes: 4}))
	server := redistest.Start(t)
	r := fleet(t, server, 1, map[string]string{"OPENAI_BASE_URL": url, "LOG_LEVEL": "warn", "OPENAI_API_KEYS": fmt.Sprintf(
		`[{"id":"a","key":%q,"rpm":1000000,"tpm":900000000,"concurrency":200,"quota":1000000},{"id":"b","key":%q,"rpm":1000000,"concurrency":100}]`,
		keyNumber(1), keyNumber(2))})[0]
	const calls = 3000
	crowd(8, 500, func(int) answer { return r.chat(t, plain) })
	each, speed := roundTrips(t, server, calls, func() { r.chat(t, plain) })
	if each > max(.1, 20/speed) { // blocks are a second of traffic: at a few requests a second each is asked for
		t.Errorf("%.2f round trips a request", each)
	}
}

// Keys that are added at run time have limits too, which can be changed, and what was used is kept.
func TestLimitsOfRuntimeKeys(t *testing.T) {
	_, url := upstream(t, mockopenai.WithSettings(mockopenai.Settings{ContentBytes: 4}))
	r := start(t, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEY": keyNumber(1), "CLIENT_TOKENS": `[{"id":"t","token":"` + clientToken + `","pool":"p"}]`,
		"ENCRYPTION_KEY": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="})
	made := r.post(t, "/api/keys", adminToken, fmt.Sprintf(`{"id":"x","key":%q,"pool":"p","rpm":5,"concurrency":4,"quota":[{"tokens":100000,"period":"day"}]}`, keyNumber(2)))
	if made.status != 201 {
		t.Fatalf("%d %s", made.status, made.body)
	}
	ask := func(n int) (ok int) {
		for range n {
			if a := r.post(t, "/v1/chat/completions", clientToken, plain); a.status == 200 {
				ok++
			} else if a.status != 429 || a.code() != "rate_limit_exceeded" {
				t.Fatalf("%d %s", a.status, a.body)
			}
		}
		return ok
	}
	if n := ask(7); n != 5 {
		t.Errorf("%d of 7 at 5 a minute", n)
	}
	l := r.limits(t, "x")
	if l["key rpm"].Left != 0 || l["key concurrency"].Most != 4 || l["key tokens/day"].Used == 0 || r.keyState(t, "x") != "limited" {
		t.Errorf("%+v, %s", l, r.keyState(t, "x"))
	}
	r.manage(t, "PATCH", "/api/keys/x", `{"rpm":8}`, nil) // the same time has to pass until it is full again
	if n := ask(2); n > 1 {
		t.Errorf("%d more at 8 a minute", n)
	}
	r.manage(t, "PATCH", "/api/keys/x", `{"rpm":null}`, nil)
	if n := ask(7); n != 7 {
		t.Errorf("%d of 7 without a rate", n)
	}
}

// What may be spent with a key is a quota like any other: used up, the key is exhausted at every replica until the period ends.
// A model without a price is not served by a key whose money is limited.
func TestMoneyOfKeysOfAFleet(t *testing.T) {
	_, url := upstream(t, mockopenai.WithSettings(mockopenai.Settings{Chunks: 60, ContentBytes: 240}))
	server := redistest.Start(t)
	replicas := fleet(t, server, 2, map[string]string{"OPENAI_BASE_URL": url, "LOG_LEVEL": "warn", "CONFIG_FILE": "c.json",
		"file": fmt.Sprintf(`{"keys":[{"id":"a","key":%q,"quota":{"usd":0.05,"period":"month"}},{"id":"b","key":%q,"models":["other-*"]}],
			"prices":{"gpt-4o-mini":{"input":3,"output":12}}}`, keyNumber(1), keyNumber(2))})
	cost := func() int64 {
		var all struct{ Totals struct{ CostUSD json.Number } }
		if err := json.Unmarshal([]byte(replicas[0].get(t, "/api/stats", adminToken).body), &all); err != nil {
			t.Fatal(err)
		}
		n, err := proxy.NanoDollars(all.Totals.CostUSD.String())
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	state := func(r *rig) string {
		var k struct{ State string }
		r.manage(t, "GET", "/api/keys/a", "", &k)
		return k.State
	}
	acquainted(t, replicas...)
	eventually(t, "the key is exhausted at both replicas", func() bool {
		for _, a := range crowd(4, 20, func(i int) answer { return replicas[i%2].chat(t, plain) }) {
			if a.status != 200 && a.status != 429 && a.status != 503 {
				t.Fatalf("%d %s", a.status, a.body)
			}
		}
		for _, r := range replicas {
			if a := r.chat(t, plain); a.status != 503 || a.code() != "no_available_key" || state(r) != "exhausted" {
				return false
			}
		}
		return true
	})
	eventually(t, "what is charged is what it costs", func() bool { return held(t, server, "k:a", "usd/month") == cost() })
	if n := cost(); n > 50_000_000 || n < 45_000_000 {
		t.Errorf("%d nano-dollars of 50000000: %s, %s", n, replicas[0].get(t, "/api/keys/a", adminToken).body, replicas[1].get(t, "/api/keys/a", adminToken).body)
	}
	a := replicas[0].chat(t, strings.Replace(plain, "gpt-4o-mini", "unheard-of", 1))
	if a.status != 403 || a.code() != "model_not_allowed" {
		t.Errorf("a model without a price: %d %s", a.status, a.body)
	}
	if a := replicas[0].chat(t, strings.Replace(plain, "gpt-4o-mini", "other-thing", 1)); a.status != 200 {
		t.Errorf("with a key whose money nobody limits: %d %s", a.status, a.body)
	}
}

// Without Redis the keys go on at each replica's part of their limits, and what was let through is counted once it answers.
func TestKeyLimitsWithoutRedis(t *testing.T) {
	mock, url := upstream(t, mockopenai.WithSettings(mockopenai.Settings{ContentBytes: 4}))
	server := redistest.Start(t)
	replicas := fleet(t, server, 2, map[string]string{"OPENAI_BASE_URL": url, "LOG_LEVEL": "warn", "hasty": "yes", "OPENAI_API_KEYS": fmt.Sprintf(
		`[{"id":"a","key":%q,"quota":{"requests":200,"period":"total"}},{"id":"b","key":%q,"rpm":60,"concurrency":20}]`, keyNumber(1), keyNumber(2))})
	served := func(calls int) (ok int64) {
		for _, a := range crowd(4, calls, func(i int) answer { return replicas[i%2].chat(t, plain) }) {
			if a.status == 200 {
				ok++
			} else if a.status != 429 && a.status != 503 {
				t.Fatalf("%d %s", a.status, a.body)
			}
		}
		return ok
	}
	acquainted(t, replicas...)
	if n := served(20); n != 20 {
		t.Fatalf("%d of 20", n)
	}
	server.Freeze()
	n := served(40)
	if n != 40 {
		t.Errorf("%d of 40 while Redis was frozen", n)
	}
	for _, r := range replicas {
		if !strings.Contains(r.get(t, "/metrics", adminToken).body, `oap_state_undecided_total{what="key limits"}`) {
			t.Error("it is not counted")
		}
	}
	server.Thaw()
	eventually(t, "what was let through is counted", func() bool {
		n := mock.Stats()[keyNumber(1)].Requests
		return n >= 20 && held(t, server, "k:a", "requests/total") == n
	})
}
