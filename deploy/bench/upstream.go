package main

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// answer is about 1 KB of JSON with usage, what a short chat brings.
var answer = []byte(`{"id":"chatcmpl-1","object":"chat.completion","created":1741569952,"model":"gpt-4o-mini","choices":[{"index":0,` +
	`"message":{"role":"assistant","content":"` + strings.Repeat("A token bucket admits bursts. ", 20) + `"},"finish_reason":"stop"}],` +
	`"usage":{"prompt_tokens":19,"completion_tokens":100,"total_tokens":119,"prompt_tokens_details":{"cached_tokens":0},` +
	`"completion_tokens_details":{"reasoning_tokens":0}}}`)

const (
	chunk = `data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1741569952,"model":"gpt-4o-mini","choices":[` +
		`{"index":0,"delta":{"content":" token"},"logprobs":null,"finish_reason":null}],"usage":null}` + "\n\n"
	lastChunk = `data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1741569952,"model":"gpt-4o-mini","choices":[],` +
		`"usage":{"prompt_tokens":19,"completion_tokens":100,"total_tokens":119}}` + "\n\ndata: [DONE]\n\n"
	// slowModel is streamed one token every 50 to 100 ms.
	slowModel  = "slow"
	quickEvent = 100 // of an ordinary stream
	slowEvents = 60
)

// serveUpstream serves the upstream of all targets; with a certificate on TLS, where it offers HTTP/2 and HTTP/1.1.
func serveUpstream(addr, cert, key string) error {
	if cert != "" {
		return http.ListenAndServeTLS(addr, cert, key, http.HandlerFunc(answerCall))
	}
	return http.ListenAndServe(addr, http.HandlerFunc(answerCall))
}

// answerCall asks for a token and answers at once. It is as lean as net/http allows, because it shares the machine with what
// is measured. On TLS it says which HTTP it was asked in.
func answerCall(w http.ResponseWriter, r *http.Request) {
	head := make([]byte, 256)
	n, _ := io.ReadFull(r.Body, head)
	_, _ = io.Copy(io.Discard, r.Body)
	head = head[:n]
	w.Header().Set("X-Request-Id", "req_up")
	if r.TLS != nil {
		w.Header().Set(spokenHeader, r.Proto)
	}
	switch {
	case !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer sk-test-"):
		w.WriteHeader(http.StatusUnauthorized)
	case bytes.Contains(head, []byte(`"stream":true`)):
		stream(w, bytes.Contains(head, []byte(`"model":"`+slowModel+`"`)))
	default:
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
		_, _ = w.Write(answer)
	}
}

// spokenHeader of an answer is the version of HTTP in which the upstream was asked.
const spokenHeader = "X-Spoken"

// stream flushes every event by itself, as model servers do.
func stream(w http.ResponseWriter, slow bool) {
	w.Header().Set("Content-Type", "text/event-stream")
	out := http.NewResponseController(w)
	events := quickEvent
	if slow {
		events = slowEvents
	}
	for range events {
		if slow {
			time.Sleep(50*time.Millisecond + rand.N(50*time.Millisecond))
		}
		_, _ = io.WriteString(w, chunk)
		if out.Flush() != nil {
			return
		}
	}
	_, _ = io.WriteString(w, lastChunk)
}

// chat is the body of a request.
func chat(model string, streamed bool, size int) []byte {
	options := ""
	if streamed {
		options = `"stream":true,"stream_options":{"include_usage":true},`
	}
	text := "Explain how a token bucket differs from a leaky bucket, with one example of each."
	text += strings.Repeat(" The quick brown fox jumps over the lazy dog.", max(0, size-len(text))/45)
	return fmt.Appendf(nil, `{"model":%q,%s"temperature":0.7,"max_tokens":256,"messages":[{"role":"system","content":"You are a helpful `+
		`assistant. Answer briefly."},{"role":"user","content":%q}]}`, model, options, text)
}
