package upstream

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"openai-api-proxy/pkg/openai"
	"openai-api-proxy/pkg/proxy"
)

// listModels is the cheapest operation that needs a valid key.
var listModels = openai.Operation{Method: http.MethodGet, Path: "/v1/models"}

// answered is what an upstream's answer is judged by.
type answered struct {
	status int
	html   bool
	code   string // error code, or the type where there is no code
	kind   string // error type
}

// rule gives the outcome of the answers it matches.
type rule struct {
	outcome proxy.Outcome
	match   func(a answered) bool
}

// rules are tried in order; the first match decides. Codes are those of OpenAI's error guide and of the compatible
// providers; message texts are never looked at.
var rules = []rule{
	{proxy.Served, func(a answered) bool { return a.status >= 300 && a.status < 400 }}, // their bodies are for people
	{proxy.KeyFailed, func(a answered) bool { return a.html }},
	{proxy.Served, func(a answered) bool { return a.status < 300 }},
	{proxy.OutOfCredit, func(a answered) bool { return a.status == 402 }},
	{proxy.OutOfCredit, func(a answered) bool { return a.status < 500 && a.status != 401 && a.is(creditCodes) }},
	{proxy.KeyRejected, func(a answered) bool { return a.status == 401 }},
	{proxy.KeyRejected, func(a answered) bool { return a.status == 403 && a.is(rejectedCodes) }},
	{proxy.Throttled, func(a answered) bool { return a.status == 429 }},
	{proxy.ModelDenied, func(a answered) bool { return (a.status == 403 || a.status == 404) && a.is(modelCodes) }},
	{proxy.Overloaded, func(a answered) bool { return a.status == 503 || a.status == 529 }},
	{proxy.Overloaded, func(a answered) bool { return a.status >= 500 && a.is(overloadCodes) }},
	{proxy.CallerFault, func(a answered) bool { return a.status < 500 || a.status == 501 || a.status == 505 }},
	{proxy.KeyFailed, func(answered) bool { return true }},
}

var (
	creditCodes = set("insufficient_quota", "billing_hard_limit_reached", "billing_not_active",
		"credit_balance_exhausted", "enforced_spend_limit_reached", "billing_error")
	rejectedCodes = set("invalid_api_key", "account_deactivated", "access_terminated")
	modelCodes    = set("model_not_found", "model_not_available")
	overloadCodes = set("slow_down", "overloaded", "server_overloaded", "server_is_overloaded", "engine_overloaded",
		"overloaded_error", "service_unavailable_error")
)

func (a answered) is(codes map[string]bool) bool { return codes[a.code] || codes[a.kind] }

// judge says what an answer means. The body is looked at only when it is a failure's.
func judge(status int, h http.Header, body []byte) proxy.Verdict {
	a := answered{status: status, html: strings.HasPrefix(h.Get("Content-Type"), "text/html")}
	if status >= 400 {
		e := openai.ReadError(body)
		a.code, a.kind = e.Code, e.Type
	}
	v := proxy.Verdict{Status: status, Code: a.code}
	if v.Code == "" {
		v.Code = a.kind
	}
	for _, r := range rules {
		if r.match(a) {
			v.Outcome = r.outcome
			break
		}
	}
	if status >= 400 {
		v.Wait = retryAfter(h, time.Now())
	}
	if status == http.StatusTooManyRequests && v.Wait == 0 {
		v.Wait = max(ofRequests.wait(h), ofTokens.wait(h))
	}
	v.Allowance = proxy.Allowance{Requests: ofRequests.level(h), Tokens: ofTokens.level(h)}
	return v
}

// retryAfter is how long the upstream asks to be left alone: Retry-After-Ms, or Retry-After in seconds or as a date
// (RFC 9110, 10.2.3). 0: it does not say.
func retryAfter(h http.Header, now time.Time) time.Duration {
	if ms, err := strconv.ParseFloat(h.Get("Retry-After-Ms"), 64); err == nil && ms > 0 {
		return clampWait(ms / 1000)
	}
	if s := h.Get("Retry-After"); s != "" {
		if sec, err := strconv.ParseFloat(s, 64); err == nil && sec > 0 {
			return clampWait(sec)
		}
		if at, err := http.ParseTime(s); err == nil && at.After(now) {
			return at.Sub(now)
		}
	}
	return 0
}
