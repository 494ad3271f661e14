package upstream

import (
	"net/http"
	"testing"
	"time"

	"openai-api-proxy/pkg/proxy"
)

func TestJudge(t *testing.T) {
	code := func(code string) string {
		return `{"error":{"message":"m","type":"t","param":null,"code":"` + code + `"}}`
	}
	kind := func(kind string) string {
		return `{"error":{"message":"m","type":"` + kind + `","param":null,"code":null}}`
	}
	for _, c := range []struct {
		name   string
		status int
		body   string
		want   proxy.Outcome
	}{
		{"ok", 200, "", proxy.Served},
		{"redirects are passed on, not followed", 302, "", proxy.Served},
		{"bad request", 400, code("context_length_exceeded"), proxy.CallerFault},
		{"bad request that is a bill", 400, code("billing_hard_limit_reached"), proxy.OutOfCredit},
		{"invalid key", 401, code("invalid_api_key"), proxy.KeyRejected},
		{"401 for any other reason", 401, kind("invalid_request_error"), proxy.KeyRejected},
		{"payment required", 402, "", proxy.OutOfCredit},
		{"policy", 403, code("unsupported_country_region_territory"), proxy.CallerFault},
		{"403 without a code", 403, "", proxy.CallerFault},
		{"no access to the model", 403, code("model_not_found"), proxy.ModelDenied},
		{"deactivated account", 403, code("account_deactivated"), proxy.KeyRejected},
		{"no such model", 404, code("model_not_found"), proxy.ModelDenied},
		{"no such object", 404, kind("invalid_request_error"), proxy.CallerFault},
		{"request timeout", 408, "", proxy.CallerFault},
		{"conflict", 409, "", proxy.CallerFault},
		{"too large", 413, "", proxy.CallerFault},
		{"media type", 415, "", proxy.CallerFault},
		{"unprocessable", 422, "", proxy.CallerFault},
		{"rate limit", 429, code("rate_limit_exceeded"), proxy.Throttled},
		{"rate limit without a body", 429, "", proxy.Throttled},
		{"no credit", 429, code("insufficient_quota"), proxy.OutOfCredit},
		{"no credit, said by type", 429, kind("insufficient_quota"), proxy.OutOfCredit},
		{"server error", 500, kind("server_error"), proxy.KeyFailed},
		{"overloaded, said with 500", 500, code("overloaded"), proxy.Overloaded},
		{"not implemented", 501, "", proxy.CallerFault},
		{"bad gateway", 502, "", proxy.KeyFailed},
		{"unavailable", 503, "", proxy.Overloaded},
		{"slow down", 503, code("slow_down"), proxy.Overloaded},
		{"gateway timeout", 504, "", proxy.KeyFailed},
		{"an edge network's own", 520, "", proxy.KeyFailed},
		{"overloaded as others say it", 529, "", proxy.Overloaded},
		{"garbage", 500, "{", proxy.KeyFailed},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := judge(c.status, http.Header{"Content-Type": {"application/json"}}, []byte(c.body))
			if v.Outcome != c.want {
				t.Errorf("%d %s is %s, want %s", c.status, c.body, v.Outcome, c.want)
			}
		})
	}
	for _, status := range []int{200, 403, 503} {
		if v := judge(status, http.Header{"Content-Type": {"text/html; charset=utf-8"}}, []byte("<html>")); v.Outcome != proxy.KeyFailed {
			t.Errorf("an HTML page with %d is %s, want %s", status, v.Outcome, proxy.KeyFailed)
		}
	}
}

func TestWait(t *testing.T) {
	soon := time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)
	for _, c := range []struct {
		name   string
		status int
		header http.Header
		want   time.Duration
		about  time.Duration
	}{
		{"nothing said", 429, http.Header{}, 0, 0},
		{"seconds", 429, http.Header{"Retry-After": {"7"}}, 7 * time.Second, 0},
		{"parts of seconds", 429, http.Header{"Retry-After": {"0.5"}}, 500 * time.Millisecond, 0},
		{"milliseconds come first", 429, http.Header{"Retry-After-Ms": {"1500"}, "Retry-After": {"9"}}, 1500 * time.Millisecond, 0},
		{"a date", 503, http.Header{"Retry-After": {soon}}, time.Hour, 2 * time.Second},
		{"a date that has passed", 503, http.Header{"Retry-After": {"Mon, 02 Jan 2006 15:04:05 GMT"}}, 0, 0},
		{"nonsense", 429, http.Header{"Retry-After": {"soon"}}, 0, 0},
		{"negative", 429, http.Header{"Retry-After": {"-5"}}, 0, 0},
		{"centuries", 429, http.Header{"Retry-After": {"1e30"}}, 366 * 24 * time.Hour, 0},
		{"reset of the limit that is used up", 429, http.Header{"X-Ratelimit-Remaining-Requests": {"5"}, "X-Ratelimit-Reset-Requests": {"1m"},
			"X-Ratelimit-Remaining-Tokens": {"0"}, "X-Ratelimit-Reset-Tokens": {"2s"}}, 2 * time.Second, 0},
		{"reset alone", 429, http.Header{"X-Ratelimit-Reset-Requests": {"1.5s"}}, 1500 * time.Millisecond, 0},
		{"reset in plain seconds", 429, http.Header{"X-Ratelimit-Reset-Requests": {"12"}}, 12 * time.Second, 0},
		{"reset without a 429 means nothing", 503, http.Header{"X-Ratelimit-Reset-Requests": {"6m0s"}}, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := judge(c.status, c.header, nil).Wait
			if d := got - c.want; d < -c.about || d > c.about {
				t.Errorf("waits %v, want %v", got, c.want)
			}
		})
	}
}

func TestOutcomeTableIsComplete(t *testing.T) {
	seen := map[string]bool{}
	for o := proxy.Served; o <= proxy.StreamCut; o++ {
		name := o.String()
		if name == "" || seen[name] {
			t.Errorf("outcome %d has no name of its own: %q", o, name)
		}
		seen[name] = true
	}
}
