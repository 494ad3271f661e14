package mockopenai

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// refusal is an answer that is an error. In its message, {model} and {key} stand for those of the request.
type refusal struct {
	status  int
	typ     string
	code    string // "": null
	param   string // "": null
	message string
}

const (
	sorry     = "The server had an error while processing your request. Sorry about that!"
	slowDown  = "The engine is currently overloaded, please try again later."
	noRate    = "Rate limit reached for {model} on requests per min (RPM): Limit 500, Used 500, Requested 1."
	noCredit  = "You exceeded your current quota, please check your plan and billing details."
	wrongKey  = "Incorrect API key provided: {key}. You can find your API key in your account settings."
	noCountry = "Country, region, or territory not supported"
	noAccess  = "Project does not have access to model `{model}`."
	noModel   = "The model `{model}` does not exist or you do not have access to it."
)

// refusals are the kinds of faults that are a status with an error body.
var refusals = map[string]refusal{
	"400":            {400, "invalid_request_error", "", "messages", "Invalid value for 'messages'."},
	"401":            {401, "invalid_request_error", "invalid_api_key", "", wrongKey},
	"402":            {402, "insufficient_quota", "billing_not_active", "", "Your account is not active."},
	"403_country":    {403, "request_forbidden", "unsupported_country_region_territory", "", noCountry},
	"403_model":      {403, "invalid_request_error", "model_not_found", "", noAccess},
	"404_model":      {404, "invalid_request_error", "model_not_found", "", noModel},
	"409":            {409, "invalid_request_error", "", "", "The resource was changed by another request."},
	"413":            {413, "invalid_request_error", "", "", "Maximum content size limit (26214400) exceeded."},
	"422":            {422, "invalid_request_error", "", "", "The request could not be processed."},
	"429":            {429, "requests", "rate_limit_exceeded", "", noRate},
	"429_reset":      {429, "requests", "rate_limit_exceeded", "", noRate},
	"429_quota":      {429, "insufficient_quota", "insufficient_quota", "", noCredit},
	"500":            {500, "server_error", "", "", sorry},
	"500_html":       {500, "", "", "", "Internal Server Error"},
	"502":            {502, "server_error", "", "", "Bad gateway."},
	"503":            {503, "server_error", "", "", sorry},
	"503_slow_down":  {503, "server_error", "slow_down", "", slowDown},
	"503_overloaded": {503, "server_overloaded", "overloaded", "", slowDown},
	"504":            {504, "server_error", "", "", "The server took too long to answer."},
	"520":            {520, "server_error", "", "", "Web server is returning an unknown error."},
}

// badRequest is a mistake of the caller in the field param.
func badRequest(param, message string) *refusal {
	return &refusal{http.StatusBadRequest, "invalid_request_error", "", param, message}
}

// unknownURL is the answer to a path that there is no operation for.
func unknownURL(r *http.Request) *refusal {
	message := fmt.Sprintf("Invalid URL (%s %s)", r.Method, r.URL.Path)
	return &refusal{http.StatusNotFound, "invalid_request_error", "", "", message}
}

// refuse answers with the error.
func (x *exchange) refuse(no refusal) {
	message := strings.NewReplacer("{model}", x.ask.model, "{key}", masked(x.key)).Replace(no.message)
	body, _ := json.Marshal(map[string]any{"error": map[string]any{
		"message": message, "type": no.typ, "param": orNull(no.param), "code": orNull(no.code),
	}}) // strings always marshal
	x.write(no.status, "application/json", body)
}

// refuseAs applies a fault that is a refusal, without the rate limit headers, which would say that much is left.
func (x *exchange) refuseAs(f *Fault) {
	no, h := refusals[f.Kind], x.w.Header()
	for name := range h {
		if strings.HasPrefix(name, "X-Ratelimit-") {
			h.Del(name)
		}
	}
	switch {
	case f.RetryAfter <= 0:
	case f.Kind == "429_reset":
		h.Set("X-Ratelimit-Reset-Requests", time.Duration(f.RetryAfter*float64(time.Second)).String())
	default:
		h.Set("Retry-After", strconv.FormatFloat(f.RetryAfter, 'f', -1, 64))
	}
	if f.Kind == "500_html" {
		page := "<html><head><title>500</title></head><body><h1>" + no.message + "</h1></body></html>\n"
		x.write(no.status, "text/html; charset=utf-8", []byte(page))
		return
	}
	x.refuse(no)
}

// masked shows a key the way OpenAI's message does: enough of it to be a leak when passed on to the wrong caller.
func masked(key string) string {
	const head, tail = 8, 4
	if len(key) <= head+tail {
		return "***"
	}
	return key[:head] + "***" + key[len(key)-tail:]
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}
