package upstream

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"openai-api-proxy/pkg/openai"
	"openai-api-proxy/pkg/proxy"
)

// Which HTTP is spoken with an upstream that has both, and that what goes without the standard transport is small.
func TestWhatGoesDirect(t *testing.T) {
	proto := ""
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		proto = r.Proto
		io.Copy(io.Discard, r.Body)
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	for _, c := range []struct {
		only1  bool
		body   int
		want   string
		direct bool
	}{
		{false, 10, "HTTP/2.0", false}, {true, 10, "HTTP/1.1", true},
		{true, directBody, "HTTP/1.1", true}, {true, directBody + 1, "HTTP/1.1", false},
	} {
		up := New(Options{IdleTimeout: time.Minute, WriteTimeout: time.Minute, OnlyHTTP1: c.only1})
		up.transport.TLSClientConfig.RootCAs = server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
		key := &proxy.Key{ID: "k", Secret: proxy.NewSecret(testKey), Endpoint: server.URL}
		call := &proxy.Call{Op: chat, Path: chat.Path, Header: http.Header{}, Body: proxy.Body{Held: make([]byte, c.body), Length: int64(c.body)}}
		for range 2 {
			a := up.Do(t.Context(), key, call, time.Minute)
			if a.Verdict.Outcome != proxy.Served || proto != c.want {
				t.Errorf("%+v: %+v by %s", c, a.Verdict, proto)
			}
			if err := whole(a); err != nil {
				t.Error(err)
			}
			a.Close()
		}
		up.transport.CloseIdleConnections()
		if open := up.direct.Idle(); (open > 0) != c.direct {
			t.Errorf("%+v: %d connections without the standard transport", c, open)
		}
		up.Close()
	}
}

func whole(a *Answer) error {
	_, err := a.Whole(1 << 20)
	return err
}

// A request with a key for that is sent again on a new connection when the old one ends without an answer. If there is none any
// more, it is not one of which nothing was sent: it may have been carried out.
func TestSentAndThenNotConnected(t *testing.T) {
	for _, size := range []int{10, directBody + 1} {
		r := newRig(t, Options{}, nil)
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		r.key.Endpoint = "http://" + l.Addr().String()
		r.call.Header.Set("Idempotency-Key", "made-up")
		r.call.Body = proxy.Body{Held: make([]byte, size), Length: int64(size)}
		done := make(chan struct{})
		go func() {
			defer close(done)
			c, err := l.Accept()
			l.Close()
			if err != nil {
				return
			}
			defer c.Close()
			in := bufio.NewReader(c)
			for _, answer := range []string{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", ""} {
				req, err := http.ReadRequest(in)
				if err != nil {
					return
				}
				io.Copy(io.Discard, req.Body)
				io.WriteString(c, answer)
			}
		}()
		if err := whole(r.do(t)); err != nil {
			t.Fatal(err)
		}
		if a := r.do(t); a.Verdict.Outcome != proxy.NoAnswer {
			t.Errorf("%d bytes: %+v", size, a.Verdict)
		}
		<-done
	}
}

// Whatever is wrong with the proxy that the environment names, it is not the caller's fault.
func TestNoProxy(t *testing.T) {
	for _, size := range []int{10, directBody + 1} {
		r := newRig(t, Options{Proxy: func(*http.Request) (*url.URL, error) { return nil, errors.New("a made up mistake") }}, nil)
		r.call.Body = proxy.Body{Held: make([]byte, size), Length: int64(size)}
		if a := r.do(t); a.Verdict.Outcome != proxy.Unreachable {
			t.Errorf("%d bytes: %+v", size, a.Verdict)
		}
	}
}

// A status below 100 is no answer: no caller can be given it, and what follows it is no other answer.
func TestNoStatus(t *testing.T) {
	for _, size := range []int{10, directBody + 1} {
		r := newRig(t, Options{}, func(w http.ResponseWriter, req *http.Request) {
			io.Copy(io.Discard, req.Body)
			c, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				return
			}
			defer c.Close()
			io.WriteString(c, "HTTP/1.1 099 X\r\nContent-Length: 38\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		})
		r.call.Body = proxy.Body{Held: make([]byte, size), Length: int64(size)}
		if a := r.do(t); a.Answered() || a.Verdict.Outcome != proxy.NoAnswer {
			t.Errorf("%d bytes: %+v", size, a.Verdict)
		}
	}
}

// What an upstream is asked for is what the endpoint and the path make as one text.
func TestTarget(t *testing.T) {
	c := New(Options{})
	for _, endpoint := range []string{"https://api.test", "http://127.0.0.1:8080", "https://gate.test/some/where", "https://gate.test/a%2Fb", "http://[::1]:80"} {
		for _, path := range []string{"/v1/models", "/v1/models/ft:gpt-4o:a,b;c", "/v1/files/a[b]", "/v1/files/a%2Fb", "/v1/files/%20", "/v1/files/a'(b)*!&=@$+", "/v1/models/模型", "/v1/files/%zz"} {
			want, wrong := url.Parse(endpoint + path)
			for _, op := range []string{"/v1/{some}", path, path} {
				got, err := c.target(endpoint, &proxy.Call{Op: openai.Operation{Path: op}, Path: path})
				if (err != nil) != (wrong != nil) {
					t.Fatalf("%s%s: %v, not %v", endpoint, path, err, wrong)
				}
				if err == nil && (got.String() != want.String() || got.RequestURI() != want.RequestURI() || got.Host != want.Host) {
					t.Errorf("%s%s: %s, not %s", endpoint, path, got.String(), want)
				}
			}
		}
	}
}
