package admission

import (
	"net/http"
	"strconv"
	"time"

	"openai-api-proxy/pkg/state"
)

// Permit is the answer to one request, admitted or refused: how the client's limits stand after it. A nil permit is one
// about which nothing is known.
type Permit struct {
	perMinute int64         // 0: no limit
	requests  state.Balance // of the limit, when there is one
}

// Header tells the caller how the limits stand, in the names and the form in which OpenAI does. The limit is the one
// that was configured; what remains is what may be sent at once, so a burst above the limit shows there.
func (p *Permit) Header(h http.Header) {
	if p == nil || p.perMinute == 0 {
		return
	}
	h.Set("X-Ratelimit-Limit-Requests", strconv.FormatInt(p.perMinute, 10))
	h.Set("X-Ratelimit-Remaining-Requests", strconv.FormatInt(max(p.requests.Left, 0), 10))
	h.Set("X-Ratelimit-Reset-Requests", milliseconds(p.requests.Reset).String())
}

// milliseconds rounds up, so that who waits for as long as it says never comes too early.
func milliseconds(d time.Duration) time.Duration {
	return (d + time.Millisecond - 1).Truncate(time.Millisecond)
}
