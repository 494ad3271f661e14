package app_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"

	"openai-api-proxy/pkg/app"
)

// cannedAnswer is what the upstream of the cost tests says to everything: about 1 KB of JSON with usage.
var cannedAnswer = fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Request-Id: req_up\r\n"+
	"Openai-Version: 2020-10-01\r\nOpenai-Processing-Ms: 12\r\nDate: Wed, 25 Nov 2026 12:00:00 GMT\r\nContent-Length: %d\r\n\r\n%s",
	len(cannedBody), cannedBody)

var cannedBody = []byte(`{"id":"chatcmpl-1","object":"chat.completion","created":1741569952,"model":"gpt-4o-mini","choices":[{"index":0,` +
	`"message":{"role":"assistant","content":"` + strings.Repeat("A token bucket admits bursts. ", 20) +
	`"},"finish_reason":"stop"}],"usage":{"prompt_tokens":19,"completion_tokens":100,"total_tokens":119,` +
	`"prompt_tokens_details":{"cached_tokens":0},"completion_tokens_details":{"reasoning_tokens":0}}}`)

// cannedUpstream answers every request with the same bytes and allocates nothing for it, so that what is counted is the
// proxy's.
func cannedUpstream(tb testing.TB) string {
	return listenUpstream(tb, func(c net.Conn) {
		r := bufio.NewReader(c)
		for readRequest(r) {
			if _, err := c.Write(cannedAnswer); err != nil {
				return
			}
		}
	})
}

// listenUpstream serves connections until the test ends, and is the address of that.
func listenUpstream(tb testing.TB, serve func(net.Conn)) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				serve(c)
			}()
		}
	}()
	return "http://" + l.Addr().String()
}

// readRequest reads one request, or answer, with a Content-Length.
func readRequest(r *bufio.Reader) bool {
	length := 0
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return false
		}
		if line = bytes.TrimSpace(line); len(line) == 0 {
			break
		}
		if value, found := bytes.CutPrefix(line, []byte("Content-Length: ")); found {
			length = 0
			for _, digit := range value {
				length = length*10 + int(digit-'0')
			}
		}
	}
	_, err := r.Discard(length)
	return err == nil
}

// caller sends the same request again and again over one connection, and allocates nothing for it either.
type caller struct {
	c       net.Conn
	r       *bufio.Reader
	request []byte
}

func newCaller(tb testing.TB, addr string) *caller {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { c.Close() })
	body := `{"model":"gpt-4o-mini","temperature":0.7,"max_tokens":256,"messages":[{"role":"system","content":"You are a helpful ` +
		`assistant."},{"role":"user","content":"Explain how a token bucket differs from a leaky bucket."}]}`
	request := fmt.Appendf(nil, "POST /v1/chat/completions HTTP/1.1\r\nHost: %s\r\nUser-Agent: test\r\nContent-Type: application/json\r\n"+
		"Authorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s", addr, clientToken, len(body), body)
	return &caller{c, bufio.NewReader(c), request}
}

func (c *caller) call(tb testing.TB) {
	c.begin(tb)
	if !readRequest(c.r) {
		tb.Fatal("the answer broke off")
	}
}

// begin sends the request, and sees that its answer begins.
func (c *caller) begin(tb testing.TB) {
	if _, err := c.c.Write(c.request); err != nil {
		tb.Fatal(err)
	}
	if status, err := c.r.Peek(len("HTTP/1.1 200")); err != nil || !bytes.HasSuffix(status, []byte("200")) {
		all, _ := c.r.Peek(c.r.Buffered())
		tb.Fatalf("%v %s", err, all)
	}
}

// startCosted is a proxy with everything on: ten keys, a client with limits and a quota, the access log.
func startCosted(tb testing.TB, upstream, redis string) *app.App {
	keys := make([]string, 10)
	for i := range keys {
		keys[i] = fmt.Sprintf(`{"id":"k%d","key":%q}`, i, keyNumber(i))
	}
	env := map[string]string{"LISTEN_ADDR": "127.0.0.1:0", "DATA_DIR": "", "ADMIN_TOKEN": adminToken, "OPENAI_BASE_URL": upstream, "REDIS_URL": redis, "DRAIN_DELAY": "0s",
		"OPENAI_API_KEYS": "[" + strings.Join(keys, ",") + "]",
		"CLIENT_TOKENS": `[{"id":"team","token":"` + clientToken + `","rpm":10000000,"burst":10000000,"tpm":1000000000,"onStateLoss":"allow",` +
			`"quota":[{"tokens":1000000000000,"period":"month"}]}]`}
	a, err := app.Start(tb.Context(), load(tb, env), app.Options{Version: "test",
		Log: slog.New(slog.NewJSONHandler(io.Discard, nil)), AccessLog: io.Discard})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := a.Stop(); err != nil {
			tb.Error(err)
		}
	})
	return a
}

// BenchmarkRequest is the whole way of a small request, with everything on; caller and upstream allocate nothing.
func BenchmarkRequest(b *testing.B) {
	c := newCaller(b, startCosted(b, cannedUpstream(b), "").Addr())
	c.call(b)
	b.ReportAllocs()
	for b.Loop() {
		c.call(b)
	}
}

// mostForRequest are the allocations of a whole small request with everything on, of which about 70 are the standard
// library's server and client.
const mostForRequest = 77

// TestRequestAllocates fails when a request allocates more than it did.
func TestRequestAllocates(t *testing.T) {
	withoutRace(t)
	c := newCaller(t, startCosted(t, cannedUpstream(t), "").Addr())
	for range 300 {
		c.call(t) // connections, pools, maps and goroutines, which each processor keeps for itself
	}
	if n := testing.AllocsPerRun(500, func() { c.call(t) }); n > mostForRequest {
		t.Errorf("%v allocations, and it were %d", n, mostForRequest)
	} else {
		t.Logf("%v allocations", n)
	}
}

// withoutRace leaves out what counts allocations: under the race detector pools forget on purpose.
func withoutRace(t *testing.T) {
	t.Helper()
	if raceEnabled {
		t.Skip("the race detector makes sync.Pool drop what it was given, which allocates anew")
	}
}
