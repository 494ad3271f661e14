package conformance

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

const body = `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Hello"}]}`

func dial(t *testing.T, r *rig) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("tcp", "127.0.0.1:"+r.port)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	return conn, bufio.NewReader(conn)
}

func request(method, path, token, more string) string {
	return fmt.Sprintf("%s %s HTTP/1.1\r\nHost: proxy\r\nAuthorization: Bearer %s\r\n%s\r\n", method, path, token, more)
}

// Two requests sent at once are answered in order.
func TestPipelining(t *testing.T) {
	r := start(t)
	conn, from := dial(t, r)
	post := request("POST", "/v1/chat/completions", token, fmt.Sprintf("Content-Type: application/json\r\nContent-Length: %d\r\n", len(body))) + body
	io.WriteString(conn, post+request("GET", "/v1/models", token, "")+post)
	for i, want := range []string{"chat.completion", `"list"`, "chat.completion"} {
		resp, err := http.ReadResponse(from, nil)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != 200 || !strings.Contains(string(text), want) {
			t.Errorf("answer %d: %s %.200s", i, resp.Status, text)
		}
	}
}

// A body is asked for only when it will be used.
func TestExpectContinue(t *testing.T) {
	r := start(t)
	for _, c := range []struct {
		token string
		first string
	}{{"sk-test-nobody", "HTTP/1.1 401 "}, {token, "HTTP/1.1 100 "}} {
		conn, from := dial(t, r)
		io.WriteString(conn, request("POST", "/v1/chat/completions", c.token,
			fmt.Sprintf("Content-Type: application/json\r\nContent-Length: %d\r\nExpect: 100-continue\r\n", len(body))))
		line, err := from.ReadString('\n')
		if err != nil || !strings.HasPrefix(line, c.first) {
			t.Fatalf("%q, %v, want %q", line, err, c.first)
		}
		if c.token != token {
			continue
		}
		from.ReadString('\n')
		io.WriteString(conn, body)
		if resp, err := http.ReadResponse(from, nil); err != nil || resp.StatusCode != 200 {
			t.Errorf("%+v, %v", resp, err)
		}
	}
}
