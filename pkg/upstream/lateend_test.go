package upstream

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"openai-api-proxy/pkg/proxy"
)

// The end of a stream may come long after the last write to the caller, whose deadline has passed by then: it is written all the
// same, although the server does that when nobody looks any more.
func TestTheEndComesLate(t *testing.T) {
	const writeTimeout, silence = 50 * time.Millisecond, 300 * time.Millisecond
	for name, c := range map[string]struct{ tail, want string }{
		"alone":               {"0\r\n\r\n", "data: 1\n\n"},
		"with the last event": {"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n", "data: 1\n\ndata: [DONE]\n\n"},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				up, err := l.Accept()
				if err != nil {
					return
				}
				defer up.Close()
				_, _ = up.Read(make([]byte, 4096))
				_, _ = io.WriteString(up, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n")
				time.Sleep(silence)
				_, _ = io.WriteString(up, c.tail)
				_, _ = up.Read(make([]byte, 1)) // until it is closed
			}()
			up := New(Options{IdleTimeout: 10 * time.Second, WriteTimeout: writeTimeout})
			defer up.Close()
			key := &proxy.Key{ID: "k", Secret: proxy.NewSecret(testKey), Endpoint: "http://" + l.Addr().String()}
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				a := up.Do(r.Context(), key, &proxy.Call{Op: chat, Path: chat.Path, Header: http.Header{}}, 10*time.Second)
				defer a.Close()
				a.Forward(w, &Forwarding{})
			}))
			defer s.Close()
			resp, err := http.Get(s.URL)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			defer http.DefaultClient.CloseIdleConnections()
			if all, err := io.ReadAll(resp.Body); err != nil || string(all) != c.want {
				t.Errorf("the caller got %q, %v", all, err)
			}
		})
	}
}
