package upstream

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"openai-api-proxy/pkg/proxy"
)

// limitHeaders are the headers that tell of one rate limit.
type limitHeaders struct{ limit, left, reset string }

var (
	ofRequests = limitHeaders{"X-Ratelimit-Limit-Requests", "X-Ratelimit-Remaining-Requests", "X-Ratelimit-Reset-Requests"}
	ofTokens   = limitHeaders{"X-Ratelimit-Limit-Tokens", "X-Ratelimit-Remaining-Tokens", "X-Ratelimit-Reset-Tokens"}
)

// level is what the headers say of the limit. Unless all three are there and make sense together it is not known: from
// one or two nobody can tell how fast it fills. Without such headers this costs one look at the map.
func (l *limitHeaders) level(h http.Header) proxy.Level {
	limit, ok := count(h, l.limit)
	if !ok || limit == 0 {
		return proxy.Level{}
	}
	left, ok := count(h, l.left)
	if !ok {
		return proxy.Level{}
	}
	reset, ok := span(first(h, l.reset))
	if !ok {
		return proxy.Level{}
	}
	return proxy.Level{Known: true, Limit: limit, Left: min(left, limit), Reset: reset}
}

// wait is when the limit frees, unless the upstream says that something is left of it.
func (l *limitHeaders) wait(h http.Header) time.Duration {
	if left := first(h, l.left); left != "" && left != "0" {
		return 0
	}
	d, _ := span(first(h, l.reset))
	return d
}

// first is the value of a header with a canonical name.
func first(h http.Header, name string) string {
	if all := h[name]; len(all) > 0 {
		return all[0]
	}
	return ""
}

// count is a header that is a whole number of at least 0.
func count(h http.Header, name string) (int64, bool) {
	s := first(h, name)
	if s == "" || s[0] < '0' || s[0] > '9' {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

// mostSpan is the longest time that is still one: what is longer is more likely a date.
const mostSpan = 366 * 24 * time.Hour

// span reads a time as upstreams write it: a duration like "6m0s", also with days before it, or plain seconds as Azure
// writes them. ok is false for what is no time, below 0 or absurd.
func span(s string) (d time.Duration, ok bool) {
	if s == "" || s[0] == '-' || s[0] == '+' {
		return 0, false
	}
	if last := s[len(s)-1]; last >= '0' && last <= '9' || last == '.' {
		sec, err := strconv.ParseFloat(s, 64)
		if err != nil || !(sec <= mostSpan.Seconds()) {
			return 0, false
		}
		return clampWait(sec), true
	}
	if days, rest, found := strings.Cut(s, "d"); found {
		n, err := strconv.ParseUint(days, 10, 9) // 511 at most
		if err != nil {
			return 0, false
		}
		if d, s = time.Duration(n)*24*time.Hour, rest; s == "" {
			return d, d <= mostSpan
		}
		if s[0] == '-' || s[0] == '+' {
			return 0, false
		}
	}
	more, err := time.ParseDuration(s)
	if err != nil || more > mostSpan {
		return 0, false
	}
	d += more
	return d, d <= mostSpan
}

// clampWait keeps an absurd number of seconds from overflowing.
func clampWait(seconds float64) time.Duration {
	return time.Duration(min(seconds, mostSpan.Seconds()) * float64(time.Second))
}
