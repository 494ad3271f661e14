package upstream

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"openai-api-proxy/pkg/proxy"
)

// writes is a ResponseWriter that tells how it was written to.
type writes struct {
	http.ResponseWriter
	all  []string
	seen func() // is called when something was flushed; nil: nobody wants to know
}

func (w *writes) Write(p []byte) (int, error) {
	w.all = append(w.all, fmt.Sprintf("%q", p))
	return len(p), nil
}

func (w *writes) FlushError() error {
	w.all = append(w.all, "flush")
	if w.seen != nil {
		w.seen()
	}
	return nil
}

func (w *writes) SetWriteDeadline(time.Time) error { return nil }

// The last byte of an answer of known length comes alone and is not flushed, so that the server keeps it until the handler
// returns.
func TestLastByteIsLeftToTheServer(t *testing.T) {
	for _, c := range []struct {
		parts  string
		flush  bool
		length int64
		want   string
	}{
		{"hello", false, 5, `"hell" "o"`},
		{"he llo", false, 5, `"he" "ll" "o"`},
		{"hell o", true, 5, `"hell" flush "o"`},
		{"he llo", true, 5, `"he" flush "ll" "o"`},
		{"he llo", true, -1, `"he" flush "llo" flush`},
		{"he llo", true, 6, `"he" flush "llo" flush`},
		{"x", true, 1, `"x"`},
	} {
		w := new(writes)
		o := new(outlet)
		o.open(w, time.Second, c.flush, c.length)
		for part := range strings.FieldsSeq(c.parts) {
			if err := o.send(o.filtered([]byte(part))); err != nil {
				t.Fatal(err)
			}
		}
		if !slices.Equal(w.all, strings.Split(c.want, " ")) || o.bytes != int64(len(strings.ReplaceAll(c.parts, " ", ""))) {
			t.Errorf("%q of %d bytes: %v and %d bytes, want %s", c.parts, c.length, w.all, o.bytes, c.want)
		}
	}
}

// streamed answers a call with the texts, each of them when the one before has been read, and tells how it was written on.
func streamed(t *testing.T, how Forwarding, texts ...string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	w, next := &writes{ResponseWriter: httptest.NewRecorder()}, make(chan struct{}, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		_, _ = c.Read(make([]byte, 4096))
		for i, text := range texts {
			if i > 0 {
				<-next
			}
			_, _ = io.WriteString(c, text)
		}
	}()
	c := New(Options{IdleTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second})
	defer c.Close()
	key := &proxy.Key{ID: "k", Secret: proxy.NewSecret(testKey), Endpoint: "http://" + l.Addr().String()}
	a := c.Do(t.Context(), key, &proxy.Call{Op: chat, Path: chat.Path, Header: http.Header{}}, 10*time.Second)
	defer a.Close()
	w.seen = func() { next <- struct{}{} }
	a.Forward(w, &how)
	return strings.Join(w.all, " ")
}

// TestHeadOfAStreamWaitsForNobody: the head goes alone only where the first event has not come with it, and what came with the
// end is left to the server.
func TestHeadOfAStreamWaitsForNobody(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
	const one, end = "9\r\ndata: 1\n\n\r\n", "e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"
	for name, c := range map[string]struct {
		texts []string
		how   Forwarding
		want  string
	}{
		"the head alone":       {[]string{head, one, end}, Forwarding{}, `flush "data: 1\n\n" flush "data: [DONE]\n\n"`},
		"with the first event": {[]string{head + one, end}, Forwarding{}, `"data: 1\n\n" flush "data: [DONE]\n\n"`},
		"all at once":          {[]string{head + one + end}, Forwarding{}, `"data: 1\n\ndata: [DONE]\n\n"`},
		"a part of an event": {[]string{head + "4\r\ndata\r\n", "5\r\n: 1\n\n\r\n", end}, Forwarding{HideUsage: true},
			`flush "data: 1\n\n" flush "data: [DONE]\n\n"`},
	} {
		t.Run(name, func(t *testing.T) {
			if got := streamed(t, c.how, c.texts...); got != c.want {
				t.Errorf("%s\nwant %s", got, c.want)
			}
		})
	}
}
