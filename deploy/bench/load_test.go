package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// asked is a server that notes who asks it.
func asked(t *testing.T, then http.HandlerFunc) (addr string, tokens func() map[string]int) {
	var mu sync.Mutex // guards seen
	seen := map[string]int{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		seen[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]++
		mu.Unlock()
		then(w, r)
	}))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String(), func() map[string]int {
		mu.Lock()
		defer mu.Unlock()
		return seen
	}
}

// Callers are spread over the replicas, and requests over the clients.
func TestLoadSpreads(t *testing.T) {
	first, atFirst := asked(t, answerCall)
	second, atSecond := asked(t, answerCall)
	to := &target{addr: first, others: []*target{{addr: second}}, tokens: []string{"sk-test-1", "sk-test-2", "sk-test-3"}}
	r := load{workers: 4, each: 9, body: chat("gpt-4o-mini", false, 0)}.run(to)
	if r.sent != 36 || r.failed != 0 || len(r.times) != 36 {
		t.Fatalf("sent %d, failed %d, timed %d", r.sent, r.failed, len(r.times))
	}
	one, two := atFirst(), atSecond()
	for _, token := range to.tokens {
		if one[token]+two[token] != 12 {
			t.Errorf("%s asked %d times", token, one[token]+two[token])
		}
	}
	if sum := one["sk-test-1"] + one["sk-test-2"] + one["sk-test-3"]; sum != 18 {
		t.Errorf("one of two replicas was asked %d times of 36", sum)
	}
}

func TestLoadFails(t *testing.T) {
	refusing, _ := asked(t, answerCall) // knows no such token
	if r := (load{workers: 2, each: 3, body: chat("gpt-4o-mini", false, 0)}).run(&target{addr: refusing, token: "nobody"}); r.failed != 6 {
		t.Errorf("%d of %d refused requests failed", r.failed, r.sent)
	}
	cut, _ := asked(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, chunk)
		_ = http.NewResponseController(w).Flush()
	})
	l := load{workers: 1, each: 2, body: chat("gpt-4o-mini", true, 0), stream: true}
	if r := l.run(&target{addr: cut, token: "sk-test-1"}); r.failed != 2 {
		t.Errorf("%d of %d streams without an end failed", r.failed, r.sent)
	}
}

// The end of a stream is seen wherever its bytes are parted.
func TestLoadSeesTheEnd(t *testing.T) {
	for at := range len(doneWord) + 1 {
		addr, _ := asked(t, func(w http.ResponseWriter, r *http.Request) {
			text := chunk + "data: [DONE]\n\n"
			parted := strings.Index(text, string(doneWord)) + at
			for _, part := range []string{text[:parted], text[parted:]} {
				_, _ = io.WriteString(w, part)
				_ = http.NewResponseController(w).Flush()
				time.Sleep(5 * time.Millisecond)
			}
		})
		if r := (load{workers: 1, each: 1, body: chat("gpt-4o-mini", true, 0), stream: true}).run(&target{addr: addr}); r.failed > 0 {
			t.Errorf("parted after %d bytes of the last word: not seen", at)
		}
	}
	whole, _ := asked(t, answerCall)
	l := load{workers: 2, span: 50 * time.Millisecond, body: chat("gpt-4o-mini", true, 0), stream: true}
	if r := l.run(&target{addr: whole, token: "sk-test-1"}); r.sent == 0 || r.failed > 0 {
		t.Errorf("%d of %d streams of the upstream failed", r.failed, r.sent)
	}
}
