package app_test

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"strings"
	"testing"

	"openai-api-proxy/pkg/mockopenai"
)

// One key of three fails in every way there is, under load. Callers notice nothing, but for answers that broke off after
// they had begun: those are cut, never ended as if they were whole.
func TestOneKeyOfThreeFails(t *testing.T) {
	for _, c := range []struct {
		kind  string
		fault mockopenai.Fault
		state string // of the failing key afterwards; "": not asked
		calls int    // 0: 150
		wait  int    // for headers, in ms; 0: ten minutes
	}{
		{kind: "401", state: "invalid"},
		{kind: "402", state: "exhausted"},
		{kind: "429_quota", state: "exhausted"},
		{kind: "429", fault: mockopenai.Fault{RetryAfter: 30}},
		{kind: "429_reset", fault: mockopenai.Fault{RetryAfter: 30}},
		{kind: "403_model"},
		{kind: "404_model"},
		{kind: "500", state: "open"},
		{kind: "500_html", state: "open"},
		{kind: "502", state: "open"},
		{kind: "504", state: "open"},
		{kind: "520", state: "open"},
		{kind: "503", calls: 24}, // as many as the budget for such retries allows at once
		{kind: "503_slow_down", calls: 24},
		{kind: "503_overloaded", calls: 24},
		{kind: "reset", state: "open"},
		{kind: "close", state: "open"},
		{kind: "hang", state: "open", wait: 5000}, // which none of the others takes, also on a busy machine,
	} {
		t.Run(c.kind, func(t *testing.T) {
			t.Parallel()
			mock, url := upstream(t)
			r := start(t, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEYS": threeKeys(), "CONFIG_FILE": "c.json",
				"file": fmt.Sprintf(`{"failover":{"headerTimeout":%d,"retryDelay":50,"openTimeout":600000}}`, cmp.Or(c.wait, 600_000))})
			c.fault.Key, c.fault.Kind = keyNumber(2), c.kind
			mock.Fault(c.fault)
			if c.calls == 0 {
				c.calls = 150
			}
			for i, a := range crowd(6, c.calls, func(i int) answer {
				if i%2 == 0 {
					return r.chat(t, streamed)
				}
				return r.chat(t, plain)
			}) {
				if a.status != 200 || a.err != nil || i%2 == 0 && !a.whole() {
					t.Fatalf("request %d: %d %v %.200s", i, a.status, a.err, a.body)
				}
			}
			if c.state != "" {
				eventually(t, "the failing key rests", func() bool { return r.keyState(t, "b") == c.state })
			}
			for _, good := range []string{"a", "c"} {
				if s := r.keyState(t, good); s != "active" {
					t.Errorf("key %s, which never failed, is %s", good, s)
				}
			}
		})
	}
}

func TestUnreachableEndpoint(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	_, url := upstream(t)
	r := start(t, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEYS": fmt.Sprintf(
		`[{"id":"a","key":%q},{"id":"b","key":%q,"baseUrl":"http://%s"},{"id":"c","key":%q}]`,
		keyNumber(1), keyNumber(2), l.Addr(), keyNumber(3))})
	for i, a := range crowd(6, 150, func(int) answer { return r.chat(t, streamed) }) {
		if !a.whole() {
			t.Fatalf("request %d: %d %v %s", i, a.status, a.err, a.body)
		}
	}
}

// Who cannot be reached is named in the record, and not to the caller.
func TestCauseIsLogged(t *testing.T) {
	r := start(t, map[string]string{"OPENAI_BASE_URL": "http://127.0.0.1:1", "OPENAI_API_KEY": keyNumber(1)})
	a := r.chat(t, plain)
	if a.status != 502 || a.code() != "upstream_error" || strings.Contains(a.body, "127.0.0.1") {
		t.Errorf("%d %s", a.status, a.body)
	}
	eventually(t, "the record names the cause", func() bool {
		return strings.Contains(r.logs.String(), `"cause":"dial tcp 127.0.0.1:1: connect: connection refused"`)
	})
}

// An answer that breaks off in the middle reaches the caller as broken, whatever broke it.
func TestMidStreamDeathIsNeverACleanEnd(t *testing.T) {
	const cuts = 12 // four for each key: five would trip it
	for _, kind := range []string{"reset_mid", "close_mid"} {
		for _, body := range []string{streamed, plain} {
			mock, url := upstream(t)
			r := start(t, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEYS": threeKeys()})
			mock.Fault(mockopenai.Fault{Key: "*", Kind: kind, AfterChunks: 3})
			for range cuts {
				if a := r.chat(t, body); a.err == nil {
					t.Fatalf("%s ended cleanly with %d: %q", kind, a.status, a.body)
				}
			}
			if n := len(mock.Requests()); n != cuts {
				t.Errorf("%s: %d requests upstream for %d callers: a begun answer must not be tried again", kind, n, cuts)
			}
			if strings.Count(r.logs.String(), `"ended":"upstream_cut"`) != cuts {
				t.Errorf("%s: not all cuts are logged", kind)
			}
		}
	}
}

func TestBodyIsReplayedWhole(t *testing.T) {
	mock, url := upstream(t)
	r := start(t, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEYS": threeKeys()})
	mock.Fault(mockopenai.Fault{Key: keyNumber(1), Kind: "429"})
	mock.Fault(mockopenai.Fault{Key: keyNumber(2), Kind: "401"})
	body := strings.Replace(plain, "Hello", strings.Repeat("0123456789abcdef", 3<<16), 1)
	if a := r.chat(t, body); a.status != 200 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	sum := sha256.Sum256([]byte(body))
	tried := 0
	for _, q := range mock.Requests() {
		if q.Method != "POST" {
			continue // the question whether key 2 is valid
		}
		tried++
		if q.SHA256 != hex.EncodeToString(sum[:]) || q.Length != len(body) {
			t.Errorf("%s got %d bytes, want %d", q.Key, q.Length, len(body))
		}
	}
	if tried < 1 {
		t.Error("nothing went upstream")
	}
}

// A request that fails wherever it goes costs no key its health, and is not tried everywhere.
func TestPoisonRequest(t *testing.T) {
	mock, url := upstream(t, mockopenai.WithSettings(mockopenai.Settings{ContentBytes: 40, Requests: 2000}))
	r := start(t, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEYS": threeKeys()})
	mock.Fault(mockopenai.Fault{Key: "*", Kind: "500", Model: "poison"})
	for _, a := range crowd(4, 300, func(int) answer {
		return r.chat(t, strings.Replace(plain, "gpt-4o-mini", "poison", 1))
	}) {
		if a.status != 500 {
			t.Fatalf("%d %s: want the upstream's own answer", a.status, a.body)
		}
	}
	if n := len(mock.Requests()); n > 600 {
		t.Errorf("%d requests upstream for 300: more than two each", n)
	}
	for _, k := range r.stats(t).Keys {
		if k.State != "active" {
			t.Errorf("key %s is %s", k.ID, k.State)
		}
	}
	if a := r.chat(t, plain); a.status != 200 {
		t.Errorf("a good request afterwards: %d", a.status)
	}
}

// With one key the proxy is never worse than none: the caller gets the upstream's answer, and the key never rests.
func TestPoolOfOne(t *testing.T) {
	mock, url := upstream(t)
	r := start(t, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEY": keyNumber(1)})
	for kind, want := range map[string]int{"429": 429, "500": 500, "503_slow_down": 503, "400": 400, "404_model": 404, "422": 422,
		"401": 503, "429_quota": 503, "402": 503, "reset": 502} {
		mock.Fault(mockopenai.Fault{Key: "*", Kind: kind, RetryAfter: 5})
		for i := range 12 {
			if a := r.chat(t, plain); a.status != want {
				t.Fatalf("%s, request %d: %d %s, want %d", kind, i, a.status, a.body, want)
			}
		}
		mock.Fault(mockopenai.Fault{Key: "*", Kind: "none"})
		if a := r.chat(t, plain); a.status != 200 {
			t.Fatalf("right after %s: %d %s", kind, a.status, a.body)
		}
	}
}

func TestNoKeyLeft(t *testing.T) {
	for _, c := range []struct {
		kind   string
		status int
		code   string
	}{
		{"429", 429, "rate_limit_exceeded"}, {"401", 503, "no_available_key"}, {"402", 503, "no_available_key"},
	} {
		mock, url := upstream(t)
		r := start(t, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEYS": threeKeys()})
		mock.Fault(mockopenai.Fault{Key: "*", Kind: c.kind, RetryAfter: 40})
		r.chat(t, plain)
		a := r.chat(t, plain)
		if a.status != c.status || a.code() != c.code || a.header.Get("Retry-After") == "" {
			t.Errorf("%s: %d %s, Retry-After %q", c.kind, a.status, a.body, a.header.Get("Retry-After"))
		}
		mock.Fault(mockopenai.Fault{Key: "*", Kind: "none"})
	}
}

// Background work is started once: a second key is tried only when the first certainly did nothing.
func TestBackgroundWorkIsNotRepeated(t *testing.T) {
	mock, url := upstream(t)
	r := start(t, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEYS": threeKeys()})
	body := `{"model":"gpt-4o-mini","input":"Hello","background":true}`
	for kind, want := range map[string]int{"500": 500, "reset": 502, "429": 200} {
		mock.Reset()
		mock.Fault(mockopenai.Fault{Key: "*", Kind: kind, Count: 1})
		a := r.post(t, "/v1/responses", keyNumber(1), body)
		if a.status != want {
			t.Errorf("%s: %d %s, want %d", kind, a.status, a.body, want)
		}
	}
}
