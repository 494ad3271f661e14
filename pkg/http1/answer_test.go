package http1

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// script is a connection on which a text comes in pieces, whatever is sent.
type script struct {
	net.Conn
	text  string
	piece int
}

func (s *script) Read(p []byte) (int, error) {
	if s.text == "" {
		return 0, io.EOF
	}
	n := copy(p, s.text[:min(s.piece, len(s.text))])
	s.text = s.text[n:]
	return n, nil
}

func (s *script) Write(p []byte) (int, error) { return len(p), nil }
func (s *script) Close() error                { return nil }

// standard is what net/http makes of a text: the answer and its body, whether it is whole, and what is left of the text.
func standard(req *http.Request, text string) (resp *http.Response, body string, left int, err error) {
	r := bufio.NewReader(strings.NewReader(text))
	for resp == nil || resp.StatusCode < 200 {
		if resp, err = http.ReadResponse(r, req); err != nil {
			return nil, "", 0, err
		}
		if resp.StatusCode == http.StatusSwitchingProtocols || resp.StatusCode < 100 {
			return nil, "", 0, errors.New("no answer to such a request")
		}
	}
	data, err := io.ReadAll(resp.Body)
	rest, _ := io.ReadAll(r)
	return resp, string(data), len(rest), err
}

// answersAsStandard compares what we make of a text with what net/http makes of it, and sees to it that no connection is kept of
// which more was read than the answer. Trailers are the one thing that we do not read.
func answersAsStandard(t *testing.T, method, text string, piece uint8, lending bool) {
	s := &script{text: text, piece: int(piece) + 1}
	tr := New(Options{IdleTimeout: time.Minute, MostIdle: 1, MostHead: 1 << 20,
		Dial: func(context.Context, string, string) (net.Conn, error) { return s, nil }})
	defer tr.Close()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://host/", nil)
	if err != nil {
		return
	}
	want, wantBody, left, wrong := standard(req, text)
	resp, err := tr.RoundTrip(req)
	if (err == nil) != (want != nil) {
		t.Fatalf("%q: %v; net/http %v", text, err, wrong)
	}
	if err != nil {
		return
	}
	got, err := "", error(nil)
	if b, ours := resp.Body.(*body); ours && lending {
		if got, err = readLending(b, &shelf{size: 7}); err == io.EOF {
			err = nil
		}
	} else {
		var data []byte
		data, err = io.ReadAll(resp.Body)
		got = string(data)
	}
	trailers := wrong != nil && err == nil && strings.Contains(text, "0\r\n")
	if !trailers && ((err == nil) != (wrong == nil) || err == nil && got != wantBody) || resp.StatusCode != want.StatusCode {
		t.Errorf("%q: %d %q %v; net/http %d %q %v", text, resp.StatusCode, got, err, want.StatusCode, wantBody, wrong)
	}
	if kept := tr.Idle() > 0; kept && !trailers && (err != nil || want.Close || left > len(s.text)) {
		t.Errorf("%q: the connection is kept, with %d bytes behind the end", text, left-len(s.text))
	}
}

func FuzzAnswer(f *testing.F) {
	for _, text := range []string{yes, chunked, yes + yes, "HTTP/1.1 103 x\r\n\r\n" + chunked, "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 3\r\n\r\nyes",
		"HTTP/1.1 204 No\r\nContent-Length: 3\r\n\r\nyes", "HTTP/1.1 304 x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "HTTP/1.1 099 x\r\nContent-Length: 0\r\n\r\n" + yes,
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n1;a=b\r\nx\r\n0\r\nA: b\r\n\r\n", "HTTP/1.1 200\r\nConnection: a, CLOSE\r\nX: a\r\n b\r\nContent-Length: 1, 1\r\n\r\nx",
		"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\nyes"} {
		for _, method := range []string{"GET", "HEAD"} {
			f.Add(method, text, uint8(255), true)
			f.Add(method, text, uint8(0), false)
		}
	}
	f.Fuzz(answersAsStandard)
}
