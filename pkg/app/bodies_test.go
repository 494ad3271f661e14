package app_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// chunked is a body without a length.
type chunked struct{ io.Reader }

func (r *rig) postChunked(t testing.TB, body io.Reader) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "POST", r.url+"/v1/chat/completions", chunked{body})
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	return r.send(t, req, keyNumber(1))
}

// oneAccount is three keys of one account: with several a body that cannot be read whole is refused.
func oneAccount() string { return strings.ReplaceAll(threeKeys(), `"id":`, `"account":"one","id":`) }

// Bodies that are too large to be held pass through once, whole, whether their length is known or not.
func TestLargeBodiesPass(t *testing.T) {
	mock, url := upstream(t)
	r := start(t, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEYS": oneAccount(), "CONFIG_FILE": "c.json",
		"file": `{"limits":{"replayBytes":100000}}`})
	body := strings.Replace(plain, "Hello", strings.Repeat("0123456789abcdef", 1<<16), 1)
	for range 4 {
		if a := r.chat(t, body); a.status != 200 {
			t.Fatalf("%d %v %s", a.status, a.err, a.body)
		}
		if a := r.postChunked(t, strings.NewReader(body)); a.status != 200 {
			t.Fatalf("without a length: %d %v %s", a.status, a.err, a.body)
		}
	}
	for _, q := range mock.Requests() {
		if q.Length != len(body) {
			t.Errorf("%d bytes arrived of %d", q.Length, len(body))
		}
	}
}

// A body that turns out too large, or breaks off, is the caller's fault: no key is blamed for it.
func TestBadBodiesBlameNoKey(t *testing.T) {
	_, url := upstream(t)
	r := start(t, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEYS": oneAccount(), "MAX_BODY_BYTES": "1MiB", "CONFIG_FILE": "c.json",
		"file": `{"limits":{"replayBytes":100000}}`})
	for range 12 {
		a := r.postChunked(t, strings.NewReader(strings.Repeat("x", 3<<20)))
		if a.err == nil && (a.status != 413 || a.code() != "request_too_large") {
			t.Errorf("too large: %d %s", a.status, a.body)
		}
		conn, err := net.Dial("tcp", r.Addr())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "POST /v1/chat/completions HTTP/1.1\r\nHost: proxy\r\nAuthorization: Bearer %s\r\n"+
			"Content-Type: application/json\r\nContent-Length: 900000\r\n\r\n%s", keyNumber(1), strings.Repeat("x", 500_000))
		time.Sleep(5 * time.Millisecond)
		conn.Close()
	}
	eventually(t, "all are over", func() bool { return strings.Count(r.logs.String(), `"msg":"request"`) >= 24 })
	for _, k := range r.stats(t).Keys {
		if k.State != "active" {
			t.Errorf("key %s is %s", k.ID, k.State)
		}
	}
}
