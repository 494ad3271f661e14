package http1

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// request makes one that its parts may make strange.
func request(method, rawURL, name, value, body string) *http.Request {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil
	}
	req := &http.Request{Method: method, URL: u, Header: http.Header{"User-Agent": {"test"}, "Content-Type": {"text/plain"}}}
	req.Header[name] = append(req.Header[name], value)
	if body != "" {
		req.ContentLength, req.Body = int64(len(body)), io.NopCloser(strings.NewReader(body))
	}
	return req
}

// written is what was written: its first line, its headers in order, and what follows. As a whole it is read as one request.
func written(t *testing.T, write func(w *bufio.Writer) error) (lines []string, body string, err error) {
	t.Helper()
	var b bytes.Buffer
	w := bufio.NewWriter(&b)
	if err := write(w); err != nil {
		return nil, "", err
	}
	w.Flush()
	head, body, _ := strings.Cut(b.String(), "\r\n\r\n")
	lines = strings.Split(head, "\r\n")
	slices.Sort(lines[1:])
	return lines, body, nil
}

// sameAsStandard compares what is written with what the standard library writes.
func sameAsStandard(t *testing.T, method, rawURL, name, value, body string) {
	one, two := request(method, rawURL, name, value, body), request(method, rawURL, name, value, body)
	if one == nil {
		return
	}
	got, gotBody, err := written(t, func(w *bufio.Writer) error { return write(w, one) })
	want, wantBody, wrong := written(t, func(w *bufio.Writer) error { return two.Write(w) })
	if (err != nil) != (wrong != nil) || !slices.Equal(got, want) || gotBody != wantBody {
		t.Errorf("%q %q %q %q:\n%q %v\n%q %v", method, rawURL, name, value, got, err, want, wrong)
	}
}

func TestRequestsAreWrittenAsByTheStandardLibrary(t *testing.T) {
	for _, c := range []struct{ method, url, name, value, body string }{
		{"POST", "http://127.0.0.1:80/v1/chat/completions", "X-A", "b", "hello"},
		{"GET", "http://host/v1/models?limit=1", "X-A", " blanks \t", ""},
		{"POST", "http://host/v1/batches/b/cancel", "X-A", "b", ""},
		{"PUT", "http://host/", "X-A", "b", ""},
		{"PATCH", "http://host/", "X-A", "b", ""},
		{"DELETE", "http://host/", "X-A", "b", ""},
		{"GET", "http://host", "User-Agent", "second", ""},
		{"GET", "http://[::1]:8080/", "User-Agent", "", ""},
		{"GET", "http://[fe80::1%25eth0]/", "X-A", "", ""},
		{"GET", "http://bücher.example/", "X-A", "ü", ""},
		{"POST", "http://host/%20/a%2Fb", "X-A", "a\r\nX-Evil: yes", "hello"},
		{"POST", "http://host/", "X-A\r\nX-Evil", "yes", "hello"},
		{"POST", "http://host/", "X A", "yes", "hello"},
		{"POST", "http://host/", "Content-Length", "99", "hello"},
		{"POST", "http://host/", "Transfer-Encoding", "chunked", "hello"},
		{"POST", "http://host/", "Trailer", "X-A", "hello"},
		{"POST", "http://host/", "Host", "other", "hello"},
		{"POST", "http://host/", "X-A", "\x00\x7f", strings.Repeat("long", 3000)},
		{"", "http://host/", "X-A", "", ""},
		{"CONNECT", "http://host/", "X-A", "", ""},
		{"PUT", "mailto:a", "X-A", "", ""},
		{"PUT", "http:///a", "X-A", "", ""},
		{"G T", "http://host/", "X-A", "", ""},
	} {
		sameAsStandard(t, c.method, c.url, c.name, c.value, c.body)
	}
}

func TestABodyOfAnotherLength(t *testing.T) {
	for _, said := range []int64{4, 6} {
		req := request("POST", "http://host/", "X-A", "b", "hello")
		req.ContentLength = said
		if _, _, err := written(t, func(w *bufio.Writer) error { return write(w, req) }); err == nil {
			t.Errorf("5 bytes were sent as %d", said)
		}
	}
}

func FuzzWrite(f *testing.F) {
	f.Add("POST", "http://host/v1/a%2fb?c=d", "X-A", "b", "hello")
	f.Add("GET", "http://[::1%25a]:1//", "Te", " \r\n", "")
	f.Fuzz(sameAsStandard)
}

// Whatever a header says, what is written is one request and no more.
func FuzzOneRequest(f *testing.F) {
	f.Add("X-A", "a\r\n\r\nGET / HTTP/1.1\r\nHost: x")
	f.Fuzz(func(t *testing.T, name, value string) {
		req := request("POST", "http://host/", name, value, "hello")
		var b bytes.Buffer
		w := bufio.NewWriter(&b)
		if write(w, req) != nil {
			return
		}
		w.Flush()
		r := bufio.NewReader(&b)
		read, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		body, _ := io.ReadAll(read.Body)
		if left, _ := io.ReadAll(r); string(body) != "hello" || len(left) > 0 {
			t.Errorf("%q: %q: %q and %q", name, value, body, left)
		}
	})
}
