package mockopenai_test

import (
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"openai-api-proxy/pkg/mockopenai"
)

// clock is one that stands until it is moved.
type clock struct{ past atomic.Int64 }

func (c *clock) now() time.Time       { return time.Unix(1_800_000_000, c.past.Load()) }
func (c *clock) move(d time.Duration) { c.past.Add(int64(d)) }

// limited starts a mock with rate limits and a clock.
func limited(t *testing.T, set mockopenai.Settings) (*upstream, *clock) {
	t.Helper()
	c := new(clock)
	return start(t, mockopenai.WithSettings(set), mockopenai.WithClock(c.now)), c
}

// rates are limit, remaining and reset as an answer says them.
func (a answer) rates(of string) string {
	h := a.Header
	return h.Get("X-Ratelimit-Limit-"+of) + " " + h.Get("X-Ratelimit-Remaining-"+of) + " " + h.Get("X-Ratelimit-Reset-"+of)
}

func TestRequestsPerMinute(t *testing.T) {
	u, c := limited(t, mockopenai.Settings{RPM: 3})
	for _, want := range []string{"3 2 20s", "3 1 40s", "3 0 1m0s"} {
		equal(t, "requests", u.post(chatPath, plain).rates("Requests"), want)
	}
	c.move(5 * time.Second)
	a := u.do(u.request("POST", chatPath, plain), 429)
	equal(t, "code", a.get("error.code").String(), "rate_limit_exceeded")
	equal(t, "type", a.get("error.type").String(), "requests")
	equal(t, "Retry-After-Ms", a.Header.Get("Retry-After-Ms"), "15000")
	equal(t, "Retry-After", a.Header.Get("Retry-After"), "15")
	equal(t, "a refusal takes nothing", a.rates("Requests"), "3 0 55s")
	equal(t, "no limit of tokens", a.rates("Tokens"), "  ")
	if message := a.get("error.message").String(); !strings.Contains(message, "gpt-4o-mini") || !strings.Contains(message, "(RPM): Limit 3, Used 3, Requested 1. Please try again in 15s.") {
		t.Errorf("message %q", message)
	}
	equal(t, "counted", u.Stats()[testKey].RateLimited, 1)
	equal(t, "another model", u.post(chatPath, `{"model":"m"}`).rates("Requests"), "3 2 20s")
	c.move(15 * time.Second)
	equal(t, "one is back", u.post(chatPath, plain).rates("Requests"), "3 0 1m0s")
	c.move(time.Hour)
	equal(t, "never more than the limit", u.post(chatPath, plain).rates("Requests"), "3 2 20s")
	equal(t, "a list is not limited", u.get("/v1/models").rates("Requests"), "  ")
	u.Reset()
	equal(t, "forgotten", u.post(chatPath, plain).rates("Requests"), "3 2 20s")
}

func TestTokensPerMinute(t *testing.T) {
	u, c := limited(t, mockopenai.Settings{RPM: 100, TPM: 1000})
	ask := func(n int) string { return `{"model":"gpt-4o-mini","max_tokens":` + strconv.Itoa(n) + `}` }
	a := u.post(chatPath, ask(600))
	equal(t, "tokens", a.rates("Tokens"), "1000 400 36s")
	equal(t, "requests", a.rates("Requests"), "100 99 600ms")
	a = u.do(u.request("POST", chatPath, ask(500)), 429)
	equal(t, "type", a.get("error.type").String(), "tokens")
	equal(t, "Retry-After-Ms", a.Header.Get("Retry-After-Ms"), "6000")
	equal(t, "all or nothing", a.rates("Requests"), "100 99 600ms")
	c.move(6 * time.Second)
	equal(t, "after the wait", u.post(chatPath, ask(500)).rates("Tokens"), "1000 0 1m0s")
	c.move(time.Minute)
	long := `{"model":"gpt-4o-mini","messages":["` + strings.Repeat("x", 400) + `"]}`
	equal(t, "by its length", u.post(chatPath, long).rates("Tokens"), "1000 "+strconv.Itoa(1000-len(long)/4)+" 6.54s")
}

// Whatever the numbers, exactly as many as the limit pass at once, and what is said to be left passes.
func TestLimitsThatDoNotDivide(t *testing.T) {
	for _, limit := range []int64{1, 7, 60, 499, 3500} {
		u, c := limited(t, mockopenai.Settings{RPM: limit, MinuteMS: 1000})
		for left := min(limit, 50) - 1; left >= 0; left-- {
			want := strconv.FormatInt(limit-min(limit, 50)+left, 10)
			equal(t, "left", u.post(chatPath, plain).Header.Get("X-Ratelimit-Remaining-Requests"), want)
		}
		if limit <= 50 {
			a := u.do(u.request("POST", chatPath, plain), 429)
			ms, _ := strconv.Atoi(a.Header.Get("Retry-After-Ms"))
			c.move(time.Duration(ms) * time.Millisecond)
			u.post(chatPath, plain)
		}
	}
}

func TestKeysOfOneAccount(t *testing.T) {
	u, _ := limited(t, mockopenai.Settings{RPM: 2, Accounts: map[string]string{testKey: "org", "sk-test-two": "org"}})
	with := func(key string, status int) answer {
		req := u.request("POST", chatPath, plain)
		req.Header.Set("Authorization", "Bearer "+key)
		return u.do(req, status)
	}
	with(testKey, 200)
	equal(t, "shared", with("sk-test-two", 200).rates("Requests"), "2 0 1m0s")
	with(testKey, 429)
	equal(t, "by itself", with("sk-test-three", 200).rates("Requests"), "2 1 30s")
}

func TestLimitsThatKeepQuiet(t *testing.T) {
	u, _ := limited(t, mockopenai.Settings{RPM: 1, NoRateHeaders: true})
	equal(t, "served", u.post(chatPath, plain).rates("Requests"), "  ")
	a := u.do(u.request("POST", chatPath, plain), 429)
	equal(t, "refused", a.rates("Requests"), "  ")
	equal(t, "Retry-After-Ms", a.Header.Get("Retry-After-Ms"), "60000")
	u.post("/_config", `{"rpm":0}`)
	equal(t, "no limits, and quiet", u.post(chatPath, plain).rates("Tokens"), "  ")
	u.post("/_config", `{"no_rate_headers":false}`)
	equal(t, "the usual", u.post(chatPath, plain).rates("Requests"), "10000 9999 6ms")
}

// A mistake and what a fault strikes say what they said before there were limits: a fault nothing, a mistake the truth.
func TestLimitsBesideFaults(t *testing.T) {
	u, _ := limited(t, mockopenai.Settings{RPM: 2})
	u.Fault(mockopenai.Fault{Key: testKey, Kind: "500", Count: 1})
	equal(t, "fault", u.do(u.request("POST", chatPath, plain), 500).rates("Requests"), "  ")
	equal(t, "mistake", u.do(u.request("POST", chatPath, `{"messages":[]}`), 400).rates("Requests"), "2 1 30s")
}
