package upstream

import (
	"math"
	"net/http"
	"testing"
	"time"

	"openai-api-proxy/pkg/proxy"
)

// told makes the headers of one limit; "" leaves one out.
func told(of, limit, left, reset string) http.Header {
	h := http.Header{}
	for name, value := range map[string]string{"Limit": limit, "Remaining": left, "Reset": reset} {
		if value != "" {
			h.Set("x-ratelimit-"+name+"-"+of, value)
		}
	}
	return h
}

func TestAllowance(t *testing.T) {
	for _, c := range []struct {
		name, limit, left, reset string
		want                     proxy.Level
	}{
		{"as OpenAI writes it", "500", "499", "120ms", proxy.Level{Known: true, Limit: 500, Left: 499, Reset: 120 * time.Millisecond}},
		{"minutes", "200000", "0", "6m0s", proxy.Level{Known: true, Limit: 200000, Reset: 6 * time.Minute}},
		{"hours", "200", "3", "23h38m24.001s", proxy.Level{Known: true, Limit: 200, Left: 3, Reset: 24*time.Hour - 21*time.Minute - 36*time.Second + time.Millisecond}},
		{"plain seconds", "10", "5", "30", proxy.Level{Known: true, Limit: 10, Left: 5, Reset: 30 * time.Second}},
		{"parts of seconds", "10", "5", "0.25", proxy.Level{Known: true, Limit: 10, Left: 5, Reset: 250 * time.Millisecond}},
		{"days", "10", "5", "2d", proxy.Level{Known: true, Limit: 10, Left: 5, Reset: 48 * time.Hour}},
		{"days and more", "10", "5", "1d2h3m", proxy.Level{Known: true, Limit: 10, Left: 5, Reset: 26*time.Hour + 3*time.Minute}},
		{"full", "10", "10", "0s", proxy.Level{Known: true, Limit: 10, Left: 10}},
		{"full, without a unit", "10", "10", "0", proxy.Level{Known: true, Limit: 10, Left: 10}},
		{"more left than there may be", "10", "12", "1s", proxy.Level{Known: true, Limit: 10, Left: 10, Reset: time.Second}},
		{"no limit", "", "5", "1s", proxy.Level{}},
		{"nothing left said", "10", "", "1s", proxy.Level{}},
		{"no reset", "10", "5", "", proxy.Level{}},
		{"a limit of nothing", "0", "0", "1s", proxy.Level{}},
		{"below nothing", "10", "-1", "1s", proxy.Level{}},
		{"a limit below nothing", "-10", "1", "1s", proxy.Level{}},
		{"a reset in the past", "10", "1", "-3s", proxy.Level{}},
		{"a reset in the past, after days", "10", "1", "1d-3s", proxy.Level{}},
		{"words", "many", "some", "soon", proxy.Level{}},
		{"a date", "10", "1", "1767225600", proxy.Level{}},
		{"a date in words", "10", "1", "2027-01-01T00:00:00Z", proxy.Level{}},
		{"centuries", "10", "1", "200000h", proxy.Level{}},
		{"centuries of days", "10", "1", "99999999999999999999d", proxy.Level{}},
		{"nearly centuries", "10", "1", "366d1s", proxy.Level{}},
		{"not a number", "10", "1", "NaN", proxy.Level{}},
		{"infinite", "10", "1", "Inf", proxy.Level{}},
		{"a number that is none", "10", "1", "1e999", proxy.Level{}},
		{"too large", "99999999999999999999", "1", "1s", proxy.Level{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := judge(200, told("requests", c.limit, c.left, c.reset), nil).Allowance; got != (proxy.Allowance{Requests: c.want}) {
				t.Errorf("%+v, want %+v", got, c.want)
			}
			if got := judge(429, told("tokens", c.limit, c.left, c.reset), nil).Allowance; got != (proxy.Allowance{Tokens: c.want}) {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
	if a := judge(200, http.Header{"Content-Type": {"application/json"}}, nil).Allowance; a.Known() {
		t.Errorf("without headers: %+v", a)
	}
}

// Every answer of a busy upstream is read so.
func TestAllowanceAllocatesNothing(t *testing.T) {
	h := told("requests", "10000", "9999", "6m0s")
	for name, values := range told("tokens", "2000000", "1999981", "0.25") {
		h[name] = values
	}
	if n := testing.AllocsPerRun(100, func() {
		if v := judge(200, h, nil); !v.Allowance.Requests.Known || !v.Allowance.Tokens.Known {
			t.Fatalf("%+v", v)
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzAllowance: whatever the headers hold, what is said to be known can be reckoned with.
func FuzzAllowance(f *testing.F) {
	for _, reset := range []string{"6m0s", "20ms", "12", "1d2h", "1.5", "-1s", "1e18", "NaN", "d", "1d+", "", "9223372036854775807", ".", "366d"} {
		f.Add("500", "3", reset)
	}
	f.Add("9223372036854775807", "9223372036854775807", "1ns")
	f.Fuzz(func(t *testing.T, limit, left, reset string) {
		h := http.Header{ofTokens.limit: {limit}, ofTokens.left: {left}, ofTokens.reset: {reset}}
		v := judge(429, h, nil)
		l := v.Allowance.Tokens
		if v.Allowance.Requests.Known || !l.Known && l != (proxy.Level{}) {
			t.Errorf("%+v", v.Allowance)
		}
		if l.Known && (l.Limit <= 0 || l.Left < 0 || l.Left > l.Limit || l.Reset < 0 || l.Reset > mostSpan) {
			t.Errorf("%q %q %q: %+v", limit, left, reset, l)
		}
		if v.Wait < 0 || v.Wait > math.MaxInt64/2 {
			t.Errorf("%q: waits %v", reset, v.Wait)
		}
	})
}
