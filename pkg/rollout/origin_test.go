package rollout

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// origin is the upstream. What it answers follows from the question alone, so that the caller knows every byte of it.
type origin struct {
	url   string
	asked atomic.Int64
	more  chan struct{} // one for each held stream that may go on after its first event
}

// held is the name of a question whose answer stops after one event, until it may go on.
const held = "held"

// question asks for a stream of so many events; 0: an answer in one piece.
type question struct {
	name   string
	events int
	every  time.Duration
}

func startOrigin(t *testing.T) *origin {
	o := &origin{more: make(chan struct{})}
	s := httptest.NewServer(http.HandlerFunc(o.serve))
	t.Cleanup(s.Close)
	o.url = s.URL
	return o
}

func (o *origin) serve(w http.ResponseWriter, r *http.Request) {
	o.asked.Add(1)
	if r.Header.Get("Upgrade") != "" {
		upgrade(w, r)
		return
	}
	var body struct{ Messages []struct{ Content string } }
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil || len(body.Messages) != 1 {
		http.Error(w, "what?", http.StatusBadRequest)
		return
	}
	q := parse(body.Messages[0].Content)
	if q.events == 0 {
		w.Header().Set("Content-Type", "application/json")
		w.Write([]byte(q.piece()))
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	for i := range q.events {
		w.Write([]byte(q.event(i)))
		w.(http.Flusher).Flush()
		if !o.pause(r, q) {
			return
		}
	}
	w.Write([]byte("data: [DONE]\n\n"))
}

// pause reports whether the stream goes on.
func (o *origin) pause(r *http.Request, q question) bool {
	var more, next = o.more, (<-chan time.Time)(nil)
	if q.name != held {
		more, next = nil, time.After(q.every)
	}
	select {
	case <-r.Context().Done():
		return false
	case <-more:
	case <-next:
	}
	return true
}

// body is the request that asks the question.
func (q question) body() string {
	return fmt.Sprintf(`{"model":"gpt-4o-mini","stream":%t,"messages":[{"role":"user","content":"%s %d %d"}]}`,
		q.events > 0, q.name, q.events, q.every.Milliseconds())
}

func parse(content string) (q question) {
	words := strings.Fields(content)
	q.name = words[0]
	q.events, _ = strconv.Atoi(words[1])
	ms, _ := strconv.Atoi(words[2])
	q.every = time.Duration(ms) * time.Millisecond
	return q
}

func (q question) event(i int) string {
	return fmt.Sprintf("data: {\"id\":%q,\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"%s-%d \"}}]}\n\n",
		q.name, q.name, i)
}

func (q question) piece() string {
	return fmt.Sprintf(`{"id":%q,"choices":[{"index":0,"message":{"role":"assistant","content":"hello"}}],"usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4}}`, q.name)
}

// answer is every byte that must come back.
func (q question) answer() string {
	if q.events == 0 {
		return q.piece()
	}
	var b strings.Builder
	for i := range q.events {
		b.WriteString(q.event(i))
	}
	return b.String() + "data: [DONE]\n\n"
}
