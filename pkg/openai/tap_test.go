package openai

import (
	"strings"
	"testing"
)

func TestTap(t *testing.T) {
	const sse, doc = "text/event-stream; charset=utf-8", "application/json"
	exact := func(in, cached, out, reasoning int64) *Usage { return &Usage{in, cached, out, reasoning, Exact} }
	for _, c := range []struct {
		name, kind, body string
		usage            *Usage
		deltas           int64
		ended, failed    bool
	}{
		{name: "chat", kind: doc, usage: exact(10, 4, 7, 3), body: `{"choices":[],"usage":{"prompt_tokens":10,"completion_tokens":7,
			"prompt_tokens_details":{"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":3}}}`},
		{name: "responses", kind: doc, usage: exact(10, 4, 7, 3), body: `{"output":[],"usage":{"input_tokens":10,"input_tokens_details":{"cached_tokens":4},
			"output_tokens":7,"output_tokens_details":{"reasoning_tokens":3}}}`},
		{name: "embeddings", kind: doc, usage: exact(8, 0, 0, 0), body: `{"data":[],"usage":{"prompt_tokens":8,"total_tokens":8}}`},
		{name: "transcription by the second", kind: doc, body: `{"text":"x","usage":{"type":"duration","seconds":3}}`},
		{name: "negative", kind: doc, body: `{"usage":{"prompt_tokens":-1,"completion_tokens":7}}`},
		{name: "absurd", kind: doc, body: `{"usage":{"prompt_tokens":1e18,"completion_tokens":7}}`},
		{name: "not an object", kind: doc, body: `{"usage":"a lot"}`},
		{name: "large document", kind: doc, usage: exact(5, 0, 6, 0), body: `{"data":[{"b64_json":"` + strings.Repeat("A", 3*lineKept) +
			`"}],"usage":{"input_tokens":5,"output_tokens":6}}`},
		{name: "usage in a text is none", kind: doc, body: `{"content":"` + strings.Repeat("A", 3*lineKept) + `\"usage\":{\"input_tokens\":5,\"output_tokens\":6}"}`},
		{name: "audio", kind: "audio/mpeg", body: `{"usage":{"input_tokens":5,"output_tokens":6}}`},
		{name: "chat stream", kind: sse, usage: exact(1, 0, 2, 0), deltas: 2, ended: true, body: `data: {"choices":[{"delta":{"content":""}}],"usage":null}` + "\n\n" +
			`data: {"choices":[{"delta":{"content":"a"}}]}` + "\n\n" + `data:{"choices":[{"delta":{"content":"b"}}]}` + "\r\n\r\n" + ": comment\n\n" +
			`data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}` + "\n\ndata: [DONE]\n\n"},
		{name: "tool call stream", kind: sse, deltas: 1, body: `data: {"choices":[{"delta":{"tool_calls":[{"function":{"arguments":"{\"a"}}]}}]}` + "\n\n"},
		{name: "responses stream", kind: sse, usage: exact(3, 0, 4, 1), deltas: 1, ended: true, body: "event: response.output_text.delta\n" +
			`data: {"type":"response.output_text.delta","delta":"a"}` + "\n\nevent: response.completed\n" +
			`data: {"type":"response.completed","response":{"usage":{"input_tokens":3,"output_tokens":4,"output_tokens_details":{"reasoning_tokens":1}}}}` + "\n\n"},
		{name: "failed response", kind: sse, ended: true, failed: true, body: `data: {"type":"response.failed","response":{"error":{"code":"server_error"}}}` + "\n\n"},
		{name: "error event", kind: sse, failed: true, body: `data: {"error":{"message":"m"}}` + "\n\n"},
		{name: "typed error event", kind: sse, ended: true, failed: true, body: `data: {"type":"error","code":"c","message":"m"}` + "\n\n"},
		{name: "no error", kind: sse, body: `data: {"type":"response.created","response":{"error":null}}` + "\n\n" + `data: {"error":null}` + "\n\n"},
		{name: "image stream", kind: sse, usage: exact(5, 0, 6, 0), body: `data: {"type":"image_generation.completed","b64_json":"` + strings.Repeat("A", 3*lineKept) +
			`","usage":{"input_tokens":5,"output_tokens":6}}` + "\n\n"},
		{name: "garbage", kind: sse, body: "data: {{{{\ndata\n\n\x00\xff\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, read := range []int{1, 7, 4096, 1 << 20} {
				if read < 100 && len(c.body) > lineKept {
					continue
				}
				tap := NewTap(c.kind)
				for rest := c.body; rest != ""; {
					n := min(read, len(rest))
					tap.Write([]byte(rest[:n]))
					rest = rest[n:]
				}
				usage, known := tap.Usage()
				if known != (c.usage != nil) || known && usage != *c.usage {
					t.Errorf("reads of %d: usage %+v, %v", read, usage, known)
				}
				large := len(c.body) > lineKept
				if tap.Deltas() != c.deltas || tap.Ended() != c.ended && !large || tap.Failed() != c.failed {
					t.Errorf("reads of %d: %d deltas, ended %v, failed %v", read, tap.Deltas(), tap.Ended(), tap.Failed())
				}
				if len(tap.line) > lineKept {
					t.Errorf("%d bytes kept", len(tap.line))
				}
			}
		})
	}
}

func FuzzTap(f *testing.F) {
	f.Add("text/event-stream", `data: {"usage":{"prompt_tokens":1,"completion_tokens":2}}`+"\n\n", 3)
	f.Add("application/json", `{"usage":{"input_tokens":1}}`, 1)
	f.Fuzz(func(t *testing.T, kind, body string, read int) {
		whole, pieces := NewTap(kind), NewTap(kind)
		whole.Write([]byte(body))
		for rest := body; rest != ""; {
			n := min(max(read%97, 1), len(rest))
			pieces.Write([]byte(rest[:n]))
			rest = rest[n:]
		}
		a, aKnown := whole.Usage()
		b, bKnown := pieces.Usage()
		if len(body) < lineKept && (a != b || aKnown != bKnown || whole.Deltas() != pieces.Deltas() || whole.Ended() != pieces.Ended()) {
			t.Errorf("read at once %+v %v, in pieces %+v %v", a, aKnown, b, bKnown)
		}
		if a.Input < 0 || a.Output < 0 || a.Input > mostTokens || a.Output > mostTokens {
			t.Errorf("usage %+v", a)
		}
	})
}

func BenchmarkTap(b *testing.B) {
	chunk := []byte(`data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1741569952,"model":"gpt-4o-mini",` +
		`"choices":[{"index":0,"delta":{"content":" token"},"logprobs":null,"finish_reason":null}]}` + "\n\n")
	tap := NewTap("text/event-stream")
	b.ReportAllocs()
	b.SetBytes(int64(len(chunk)))
	for b.Loop() {
		tap.Write(chunk)
	}
}
