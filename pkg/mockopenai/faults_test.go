package mockopenai_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/tidwall/gjson"

	"openai-api-proxy/pkg/mockopenai"
)

// strike sets a fault for every key and sends one request.
func (u *upstream) strike(f mockopenai.Fault, body string) answer {
	u.t.Helper()
	f.Key = "*"
	u.Fault(f)
	return u.try(u.request("POST", chatPath, body))
}

func TestFaultsThatAreAStatus(t *testing.T) {
	u := start(t)
	codes := map[string]string{
		"401": "invalid_api_key", "402": "billing_not_active", "403_country": "unsupported_country_region_territory",
		"403_model": "model_not_found", "404_model": "model_not_found", "429": "rate_limit_exceeded",
		"429_reset": "rate_limit_exceeded", "429_quota": "insufficient_quota", "503_slow_down": "slow_down",
		"503_overloaded": "overloaded", "400": "", "409": "", "413": "", "422": "", "500": "", "502": "", "503": "",
		"504": "", "520": "", "500_html": "",
	}
	for kind, code := range codes {
		a := u.strike(mockopenai.Fault{Kind: kind}, plain)
		if a.err != nil {
			t.Fatalf("%s: %v", kind, a.err)
		}
		status, _, _ := strings.Cut(kind, "_")
		equal(t, kind, strconv.Itoa(a.StatusCode), status)
		equal(t, kind+" code", a.get("error.code").String(), code)
		equal(t, kind+" type", a.get("error.type").String() == "", kind == "500_html")
		equal(t, kind+" Retry-After", a.Header.Get("Retry-After"), "")
		equal(t, kind+" rate limits", a.Header.Get("X-Ratelimit-Remaining-Requests"), "")
	}
	for _, kind := range mockopenai.Kinds() {
		if _, tested := codes[kind]; !tested && kind[0] <= '9' {
			t.Errorf("no test for %s", kind)
		}
	}
	equal(t, "faults", u.Stats()[testKey].Faults, int64(len(codes)))
}

func TestFaultsSayWhatTheRealOneSays(t *testing.T) {
	u := start(t)
	a := u.strike(mockopenai.Fault{Kind: "401"}, plain)
	equal(t, "a masked key", strings.Contains(string(a.body), "sk-test-***abcd"), true)
	a = u.strike(mockopenai.Fault{Kind: "404_model"}, plain)
	equal(t, "the model", strings.Contains(string(a.body), "`gpt-4o-mini`"), true)
	a = u.strike(mockopenai.Fault{Kind: "429", RetryAfter: 2}, plain)
	equal(t, "Retry-After", a.Header.Get("Retry-After"), "2")
	a = u.strike(mockopenai.Fault{Kind: "429_reset", RetryAfter: 1.5}, plain)
	equal(t, "reset", a.Header.Get("X-Ratelimit-Reset-Requests"), "1.5s")
	equal(t, "Retry-After beside reset", a.Header.Get("Retry-After"), "")
	a = u.strike(mockopenai.Fault{Kind: "429_quota"}, plain)
	equal(t, "type", a.get("error.type").String(), "insufficient_quota")
	a = u.strike(mockopenai.Fault{Kind: "503_overloaded"}, plain)
	equal(t, "type", a.get("error.type").String(), "server_overloaded")
	a = u.strike(mockopenai.Fault{Kind: "500_html"}, plain)
	equal(t, "content type", a.Header.Get("Content-Type"), "text/html; charset=utf-8")
	a = u.strike(mockopenai.Fault{Kind: "redirect"}, plain)
	equal(t, "status", a.StatusCode, 302)
	equal(t, "location", strings.HasPrefix(a.Header.Get("Location"), "http://127.0.0.2:"), true)
	a = u.strike(mockopenai.Fault{Kind: "redirect", Location: "http://127.0.0.3:1/"}, plain)
	equal(t, "location", a.Header.Get("Location"), "http://127.0.0.3:1/")
}

func TestFaultsBeforeTheHeaders(t *testing.T) {
	u := start(t)
	if a := u.strike(mockopenai.Fault{Kind: "reset"}, plain); !errors.Is(a.err, syscall.ECONNRESET) {
		t.Errorf("reset: %v", a.err)
	}
	if a := u.strike(mockopenai.Fault{Kind: "close"}, plain); !errors.Is(a.err, io.EOF) {
		t.Errorf("close: %v", a.err)
	}
	u.Reset()
	u.Fault(mockopenai.Fault{Key: "*", Kind: "hang"})
	ctx, leave := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- u.try(u.request("POST", chatPath, plain).WithContext(ctx)).err }()
	eventually(t, "the request hangs", func() bool { return u.Stats()[testKey].Faults == 1 })
	equal(t, "aborted while the caller waits", u.Stats()[testKey].Aborted, 0)
	leave()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("hang: %v", err)
	}
	eventually(t, "it is aborted", func() bool { return u.Stats()[testKey].Aborted == 1 })
}

func TestFaultsWithinAStream(t *testing.T) {
	u := start(t, few(5))
	for kind, want := range map[string]error{"reset_mid": syscall.ECONNRESET, "close_mid": io.ErrUnexpectedEOF} {
		for _, n := range []int{0, 1, 3, 7} {
			u.Reset()
			a := u.strike(mockopenai.Fault{Kind: kind, AfterChunks: n}, streamed)
			data, _ := a.events()
			equal(t, kind+" events", len(data), n)
			equal(t, kind+" status", a.StatusCode, 200)
			equal(t, kind+" billed", u.Stats()[testKey].OutputTokens, int64(min(max(n-1, 0), 5)))
			if !errors.Is(a.err, want) {
				t.Errorf("%s after %d chunks: %v, want %v", kind, n, a.err, want)
			}
		}
	}
	a := u.strike(mockopenai.Fault{Kind: "error_mid", AfterChunks: 3}, streamed)
	data, _ := a.events()
	equal(t, "error_mid events", len(data), 4)
	equal(t, "error_mid type", gjson.Get(data[3], "error.type").String(), "server_error")
	equal(t, "error_mid end", a.err, nil)

	a = u.strike(mockopenai.Fault{Kind: "garbage", AfterChunks: 3}, streamed)
	data, _ = a.events()
	equal(t, "garbage events", len(data), 4)
	equal(t, "garbage is JSON", gjson.Valid(data[3]), false)
	equal(t, "garbage end", a.err, nil)
	equal(t, "streams that were aborted", u.Stats()[testKey].Aborted, 0)
}

func TestErrorEventsFitTheirStream(t *testing.T) {
	u := start(t)
	u.Fault(mockopenai.Fault{Key: "*", Kind: "error_mid", AfterChunks: 1})
	data, names := u.post("/v1/responses", `{"model":"m","stream":true}`).events()
	equal(t, "name", names[1], "error")
	equal(t, "number", gjson.Get(data[1], "sequence_number").Int(), 1)
	equal(t, "code", gjson.Get(data[1], "code").String(), "server_error")
	data, names = u.post("/v1/images/generations", `{"stream":true}`).events()
	equal(t, "name", names[1], "error")
	equal(t, "type", gjson.Get(data[1], "error.type").String(), "server_error")
	a := u.try(u.request("POST", "/v1/audio/speech", `{"model":"m"}`))
	equal(t, "sound", len(a.body), 4<<10)
	if !errors.Is(a.err, io.ErrUnexpectedEOF) {
		t.Errorf("sound ends with %v", a.err)
	}
}

func TestFaultsWithinABody(t *testing.T) {
	u := start(t)
	whole := u.post(chatPath, plain).ContentLength
	for kind, want := range map[string]error{"reset_mid": syscall.ECONNRESET, "close_mid": io.ErrUnexpectedEOF} {
		a := u.strike(mockopenai.Fault{Kind: kind, AfterChunks: 10}, plain)
		equal(t, kind+" declared", a.ContentLength, whole)
		equal(t, kind+" sent", int64(len(a.body)), whole/2)
		if !errors.Is(a.err, want) {
			t.Errorf("%s: %v, want %v", kind, a.err, want)
		}
	}
	equal(t, "error_mid", u.strike(mockopenai.Fault{Kind: "error_mid"}, plain).StatusCode, 500)
	a := u.strike(mockopenai.Fault{Kind: "garbage"}, plain)
	equal(t, "garbage is JSON", gjson.ValidBytes(a.body), false)
	equal(t, "garbage status", a.StatusCode, 200)
	a = u.strike(mockopenai.Fault{Kind: "silence", PauseMS: 1}, plain)
	equal(t, "silence", int64(len(a.body)), whole)
	equal(t, "silence is JSON", gjson.ValidBytes(a.body), true)
}

func TestSilence(t *testing.T) {
	u := start(t, few(3))
	a := u.strike(mockopenai.Fault{Kind: "silence", AfterChunks: 2, PauseMS: 1}, streamed)
	data, _ := a.events()
	equal(t, "events", len(data), 6)
	equal(t, "end", data[5], "[DONE]")
	u.Reset()

	u.Fault(mockopenai.Fault{Key: "*", Kind: "silence", AfterChunks: 2})
	ctx, leave := context.WithCancel(t.Context())
	resp, err := u.client.Do(u.request("POST", chatPath, streamed).WithContext(ctx))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for range 4 { // two events, two empty lines
		equal(t, "a line came", lines.Scan(), true)
	}
	equal(t, "aborted while the caller waits", u.Stats()[testKey].Aborted, 0)
	leave()
	eventually(t, "a caller who leaves in a silence is noticed", func() bool {
		s := u.Stats()[testKey]
		return s.Aborted == 1 && s.InFlight == 0
	})
	equal(t, "billed", u.Stats()[testKey].OutputTokens, 1)
}

func TestWhichFaultStrikes(t *testing.T) {
	u := start(t)
	status := func(path, body string) int {
		t.Helper()
		return u.try(u.request("POST", path, body)).StatusCode
	}
	u.Fault(mockopenai.Fault{Key: "*", Kind: "500"})
	u.Fault(mockopenai.Fault{Key: testKey, Kind: "502", Model: "gpt-4o-mini"})
	u.Fault(mockopenai.Fault{Key: testKey, Kind: "504", Path: "/v1/embeddings"})
	u.Fault(mockopenai.Fault{Key: "sk-test-other", Kind: "400"})
	equal(t, "by model", status(chatPath, plain), 502)
	equal(t, "by path", status("/v1/embeddings", `{"model":"m","input":"a"}`), 504)
	equal(t, "by any key", status(chatPath, `{"model":"m"}`), 500)
	u.Fault(mockopenai.Fault{Key: testKey, Kind: "503", Model: "gpt-4o-mini"})
	equal(t, "replaced", status(chatPath, plain), 503)
	u.Fault(mockopenai.Fault{Key: testKey, Kind: "none", Model: "gpt-4o-mini"})
	equal(t, "cleared by model", status(chatPath, plain), 500)
	u.Fault(mockopenai.Fault{Key: testKey, Kind: "none"})
	equal(t, "cleared by key", status("/v1/embeddings", `{"model":"m","input":"a"}`), 500)
	u.Reset()
	equal(t, "reset", status(chatPath, plain), 200)

	multipart := u.form("/v1/images/edits", [2]string{"image", "@png"}, [2]string{"model", "gpt-image-1"})
	u.Fault(mockopenai.Fault{Key: testKey, Kind: "429", Model: "gpt-image-1"})
	u.do(multipart, http.StatusTooManyRequests)
}

func TestCountAndProbability(t *testing.T) {
	u := start(t)
	failures := func(f mockopenai.Fault, requests int) (n int) {
		u.Fault(f)
		for range requests {
			if u.try(u.request("GET", "/v1/models", "")).StatusCode == 500 {
				n++
			}
		}
		return n
	}
	equal(t, "counted", failures(mockopenai.Fault{Key: "*", Kind: "500", Count: 3}, 5), 3)
	equal(t, "set again", failures(mockopenai.Fault{Key: "*", Kind: "500", Count: 1}, 5), 1)
	equal(t, "certain", failures(mockopenai.Fault{Key: "*", Kind: "500", Prob: 1}, 5), 5)
	equal(t, "as good as impossible", failures(mockopenai.Fault{Key: "*", Kind: "500", Prob: 1e-18}, 5), 0)
}

func TestAFaultThatIsNonePanics(t *testing.T) {
	for _, f := range []mockopenai.Fault{{Kind: "500"}, {Key: "*"}, {Key: "*", Kind: "teapot"}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%+v was taken", f)
				}
			}()
			mockopenai.New().Fault(f)
		}()
	}
	if !slices.IsSorted(mockopenai.Kinds()) {
		t.Errorf("not sorted: %q", mockopenai.Kinds())
	}
}
