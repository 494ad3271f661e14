package app_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"openai-api-proxy/pkg/mockopenai"
	"openai-api-proxy/pkg/redistest"
)

const (
	boundedPlain  = `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Hello"}],"max_tokens":100}`
	boundedStream = `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Hello"}],"max_tokens":100,"stream":true}`
)

// leave asks for a stream and hangs up after some of it.
func (r *rig) leave(t *testing.T, token string, lines int) answer {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "POST", r.url+"/v1/chat/completions", strings.NewReader(boundedStream))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := r.http.Do(req)
	if err != nil {
		return answer{err: err}
	}
	defer resp.Body.Close()
	for s := bufio.NewScanner(resp.Body); lines > 0 && s.Scan(); lines-- {
	}
	return answer{status: resp.StatusCode, header: resp.Header}
}

// settled waits until no request of a limited client runs and all is told.
func settled(t *testing.T, replicas ...*rig) {
	t.Helper()
	eventually(t, "all is settled", func() bool {
		for _, r := range replicas {
			m := r.get(t, "/metrics", adminToken).body
			if !strings.Contains(m, "oap_admission_settles_pending 0\n") || !strings.Contains(m, "oap_admission_reserved_tokens 0\n") {
				return false
			}
		}
		return true
	})
}

// limitUsed is what Redis has of a limit of a client: a field of its hash.
func limitUsed(t *testing.T, r *redistest.Server, client, limit string) int64 {
	t.Helper()
	text, err := r.Field("oap:{c:"+client+"}", limit)
	if err != nil {
		t.Fatal(err)
	}
	_, used, _ := strings.Cut(text, ":")
	n, err := strconv.ParseInt(used, 10, 64)
	if err != nil {
		t.Fatalf("%s is %q", limit, text)
	}
	return n
}

// A strict quota of tokens is not exceeded by one, at two replicas, by 64 callers who stream, leave and are cut; and what
// is counted is at least what the upstream bills.
func TestStrictQuotaOfAFleet(t *testing.T) {
	const limit = 40_000
	mock, url := upstream(t, mockopenai.WithSettings(mockopenai.Settings{Chunks: 60, ChunkDelayMS: .2, ContentBytes: 240}))
	server := redistest.Start(t)
	replicas := fleet(t, server, 2, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEYS": threeKeys(), "LOG_LEVEL": "warn",
		"CLIENT_TOKENS": fmt.Sprintf(`[{"id":"strict","token":%q,"mode":"strict","quota":{"tokens":%d,"period":"total"}}]`, clientToken, limit)})
	mock.Fault(mockopenai.Fault{Key: keyNumber(2), Kind: "close_mid", Prob: .5, AfterChunks: 20})
	bill := func() (sum int64) {
		for _, s := range mock.Stats() {
			sum += s.InputTokens + s.OutputTokens
		}
		return sum
	}
	var over atomic.Int64
	statuses := map[int]int{}
	for i, a := range crowd(64, 800, func(i int) answer {
		if bill() > limit {
			over.Add(1)
		}
		r := replicas[i%2]
		switch i % 4 {
		case 0:
			return r.leave(t, clientToken, i%50)
		case 1:
			return r.post(t, "/v1/chat/completions", clientToken, boundedStream)
		default:
			return r.post(t, "/v1/chat/completions", clientToken, boundedPlain)
		}
	}) {
		statuses[a.status]++
		if a.status == 429 && a.body != "" && a.code() != "insufficient_quota" {
			t.Fatalf("request %d: %s", i, a.body)
		}
	}
	settled(t, replicas...)
	used := limitUsed(t, server, "strict", "tokens/total")
	t.Logf("answers %v; %d counted, %d billed upstream, of %d", statuses, used, bill(), limit)
	if over.Load() > 0 || used > limit || bill() > used {
		t.Errorf("%d counted, %d billed, of %d", used, bill(), limit)
	}
	if statuses[200] < 40 || statuses[429] == 0 || used < limit/2 {
		t.Errorf("answers %v, %d used", statuses, used)
	}
	a := replicas[0].post(t, "/v1/chat/completions", clientToken, strings.Replace(boundedPlain, `,"max_tokens":100`, "", 1))
	if a.status != 400 || !strings.Contains(a.body, `"param":"max_completion_tokens"`) {
		t.Errorf("without a bound: %d %s", a.status, a.body)
	}
}

// What a soft client is charged is what it used; a request that no key could take costs no tokens, and counts.
func TestSoftTokensOfAFleet(t *testing.T) {
	mock, url := upstream(t, mockopenai.WithSettings(mockopenai.Settings{Chunks: 60, ContentBytes: 240}))
	server := redistest.Start(t)
	replicas := fleet(t, server, 2, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEYS": threeKeys(), "LOG_LEVEL": "warn",
		"CLIENT_TOKENS": fmt.Sprintf(`[{"id":"soft","token":%q,"tpm":1000000,"rpm":6000,"concurrency":64,"quota":[{"tokens":10000000,"period":"month"},{"requests":5000,"period":"day"}],"timeZone":"Asia/Tokyo"}]`, clientToken)})
	const calls = 200
	var headers atomic.Int64
	for _, a := range crowd(32, calls, func(i int) answer {
		a := replicas[i%2].post(t, "/v1/chat/completions", clientToken, map[bool]string{true: plain, false: streamed}[i%3 == 0])
		if a.header.Get("x-ratelimit-remaining-tokens") != "" && a.header.Get("x-ratelimit-limit-requests") == "6000" {
			headers.Add(1)
		}
		return a
	}) {
		if a.status != 200 {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	if headers.Load() != calls {
		t.Errorf("%d of %d answers tell how the limits stand", headers.Load(), calls)
	}
	settled(t, replicas...)
	var bill int64
	for _, s := range mock.Stats() {
		bill += s.InputTokens + s.OutputTokens
	}
	if used := limitUsed(t, server, "soft", "tokens/month"); used != bill {
		t.Errorf("%d counted, %d billed", used, bill)
	}
	mock.Fault(mockopenai.Fault{Key: "*", Kind: "401"})
	if a := replicas[0].post(t, "/v1/chat/completions", clientToken, plain); a.status != 503 {
		t.Errorf("%d %s", a.status, a.body)
	}
	settled(t, replicas...)
	if used, n := limitUsed(t, server, "soft", "tokens/month"), limitUsed(t, server, "soft", "requests/day"); used != bill || n != calls+1 {
		t.Errorf("after a request that was not carried out: %d tokens, %d requests", used, n)
	}
	if len(server.Keys("oap:{c:soft}:slots")) != 0 {
		t.Error("slots are held")
	}
}

// So many requests at the same time, over all replicas; and one after the other is never one too many.
func TestConcurrencyOfAFleet(t *testing.T) {
	_, url := upstream(t, mockopenai.WithSettings(mockopenai.Settings{LatencyMS: 400, ContentBytes: 4}))
	server := redistest.Start(t)
	replicas := fleet(t, server, 2, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEYS": threeKeys(), "LOG_LEVEL": "warn",
		"CLIENT_TOKENS": fmt.Sprintf(`[{"id":"few","token":%q,"concurrency":5},{"id":"one","token":"sk-test-one-00000000000000000001","concurrency":1}]`, clientToken)})
	statuses := map[int]int{}
	for _, a := range crowd(30, 30, func(i int) answer { return replicas[i%2].post(t, "/v1/chat/completions", clientToken, plain) }) {
		statuses[a.status]++
		if a.status == 429 && (a.code() != "rate_limit_exceeded" || a.header.Get("retry-after") != "1") {
			t.Errorf("%v %s", a.header, a.body)
		}
	}
	if statuses[200] < 5 || statuses[200] > 10 || statuses[200]+statuses[429] != 30 { // a late one may follow an early one
		t.Errorf("answers %v, 5 may run at once", statuses)
	}
	for i := range 10 {
		if a := replicas[0].post(t, "/v1/chat/completions", "sk-test-one-00000000000000000001", streamed); a.status != 200 || !a.whole() {
			t.Fatalf("request %d, after the one before it: %d %s", i, a.status, a.body)
		}
	}
}

// Without Redis a client's quota denies or allows, as it says, and what was allowed is counted later.
func TestQuotasWithoutRedis(t *testing.T) {
	_, url := upstream(t, mockopenai.WithSettings(mockopenai.Settings{ContentBytes: 240}))
	server := redistest.Start(t)
	r := fleet(t, server, 1, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEYS": threeKeys(), "LOG_LEVEL": "warn", "hasty": "yes",
		"CLIENT_TOKENS": fmt.Sprintf(`[{"id":"deny","token":%q,"quota":5000},
		{"id":"allow","token":"sk-test-allow-000000000000000001","onStateLoss":"allow","quota":{"tokens":1000000,"period":"month"}}]`, clientToken)})[0]
	const each = 19 + 60
	ask := func(token string) answer { return r.post(t, "/v1/chat/completions", token, plain) }
	ask("sk-test-allow-000000000000000001")
	settled(t, r)
	before := limitUsed(t, server, "allow", "tokens/month")
	unchecked := func() (n int) {
		_, rest, _ := strings.Cut(r.get(t, "/metrics", adminToken).body, "\noap_admission_unchecked_total ")
		if _, err := fmt.Sscan(rest, &n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	uncheckedBefore := unchecked()
	server.Freeze()
	begin := time.Now()
	for range 5 {
		if a := ask(clientToken); a.status != 503 || a.code() != "limits_unavailable" || a.header.Get("retry-after") == "" {
			t.Errorf("deny: %d %v %s", a.status, a.header, a.body)
		}
		if a := ask("sk-test-allow-000000000000000001"); a.status != 200 {
			t.Errorf("allow: %d %s", a.status, a.body)
		}
	}
	t.Logf("10 requests while Redis was frozen took %v", time.Since(begin).Round(time.Millisecond))
	if n := unchecked() - uncheckedBefore; n != 5 {
		t.Errorf("%d of 5 that were let pass are counted as such", n)
	}
	server.Thaw()
	eventually(t, "what was let pass is counted", func() bool { return limitUsed(t, server, "allow", "tokens/month") == before+5*each })
	eventually(t, "it is decided again", func() bool { return ask(clientToken).status == 200 })
}

// A client with five limits costs one round trip to be admitted, and a part of one to be settled. Without a limit of
// requests at the same time a hot one costs next to none.
func TestRoundTripsOfManyLimits(t *testing.T) {
	_, url := upstream(t, mockopenai.WithSettings(mockopenai.Settings{ContentBytes: 4}))
	server := redistest.Start(t)
	const hot = "sk-test-hot-0000000000000000000001"
	limits := `"rpm":10000000,"tpm":900000000,"quota":[{"tokens":1000000000,"period":"month"},{"requests":1000000000,"period":"day"}]`
	r := fleet(t, server, 1, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEYS": threeKeys(), "LOG_LEVEL": "warn",
		"CLIENT_TOKENS": fmt.Sprintf(`[{"id":"all","token":%q,"concurrency":1000,%s},{"id":"hot","token":%q,%s}]`, clientToken, limits, hot, limits)})[0]
	for token, most := range map[string]float64{clientToken: 2.2, hot: .2} {
		const calls = 3000
		begin := time.Now()
		for time.Since(begin) < 1500*time.Millisecond { // until it is hot
			crowd(8, 200, func(int) answer { return r.post(t, "/v1/chat/completions", token, plain) })
		}
		each, speed := roundTrips(t, server, calls, func() {
			if a := r.post(t, "/v1/chat/completions", token, plain); a.status != 200 {
				t.Errorf("%d %s", a.status, a.body)
			}
		})
		if token == hot && speed < 100 { // from 50 a second on a client is
			t.Logf("this machine is too slow for a hot client")
		} else if each > most {
			t.Errorf("%.2f round trips a request, want at most %v", each, most)
		}
	}
}
