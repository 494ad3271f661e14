package openai

import (
	"fmt"
	"strings"
	"testing"
)

const (
	events   = "text/event-stream; charset=utf-8"
	document = "application/json"
)

// seen is all that a tap says.
type seen struct {
	usage         Usage
	known         bool
	deltas        int64
	ended, failed bool
}

func tapped(t testing.TB, contentType, answer string, write int) seen {
	tap := NewTap(contentType)
	for answer != "" {
		n := min(max(write, 1), len(answer))
		if m, err := tap.Write([]byte(answer[:n])); m != n || err != nil {
			t.Fatalf("a write of %d bytes: %d, %v", n, m, err)
		}
		if cap(tap.line) > lineKept+tailKept+8<<10 { // the runtime rounds up
			t.Fatalf("%d bytes held", cap(tap.line))
		}
		answer = answer[n:]
	}
	var s seen
	s.usage, s.known = tap.Usage()
	s.deltas, s.ended, s.failed = tap.Deltas(), tap.Ended(), tap.Failed()
	return s
}

// everyCut checks that a tap says the same of an answer however it comes.
func everyCut(t *testing.T, contentType, answer string, want seen) {
	t.Helper()
	for _, write := range []int{1, 7, 4096, 32 << 10, lineKept, lineKept + 1, 1 << 20} {
		if got := tapped(t, contentType, answer, write); got != want {
			t.Errorf("writes of %d: %+v, want %+v", write, got, want)
		}
	}
}

func exact(input, cached, output, reasoning int64) seen {
	return seen{usage: Usage{Input: input, Cached: cached, Output: output, Reasoning: reasoning, Basis: Exact}, known: true}
}

// callersUsage is a tool that an answer shows as the caller sent it.
const callersUsage = `"tools":[{"parameters":{"properties":{"usage":{"input_tokens":0,"output_tokens":0}}}}]`

var long = strings.Repeat("A", 3*lineKept)

func TestTapOfDocuments(t *testing.T) {
	for name, c := range map[string]struct {
		body string
		want seen
	}{
		"chat": {`{"choices":[],"usage":{"prompt_tokens":10,"completion_tokens":7,
			"prompt_tokens_details":{"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":3}}}`,
			exact(10, 4, 7, 3)},
		"responses": {`{"output":[],"usage":{"input_tokens":10,"input_tokens_details":{"cached_tokens":4},
			"output_tokens":7,"output_tokens_details":{"reasoning_tokens":3}}}`, exact(10, 4, 7, 3)},
		"images": {`{"data":[],"usage":{"input_tokens":5,"output_tokens":6,"total_tokens":11}}`,
			exact(5, 0, 6, 0)},
		"what has its own price": {`{"usage":{"prompt_tokens":30,"completion_tokens":20,"prompt_tokens_details":{"cached_tokens":4,
			"cache_write_tokens":5,"audio_tokens":6,"image_tokens":7},"completion_tokens_details":{"audio_tokens":8,"image_tokens":9}}}`,
			seen{usage: Usage{Input: 30, Cached: 4, Output: 20, Basis: Exact, Written: 5, AudioIn: 6, ImageIn: 7, AudioOut: 8, ImageOut: 9},
				known: true}},
		"transcription": {`{"usage":{"input_tokens":14,"input_token_details":{"text_tokens":10,"audio_tokens":4},"output_tokens":3}}`,
			seen{usage: Usage{Input: 14, Output: 3, AudioIn: 4, Basis: Exact}, known: true}},
		"parts that cannot be": {`{"usage":{"prompt_tokens":8,"completion_tokens":1,"prompt_tokens_details":{"audio_tokens":-1,"image_tokens":"2"}}}`,
			exact(8, 0, 1, 0)},
		"embeddings":  {`{"data":[],"usage":{"prompt_tokens":8,"total_tokens":8}}`, exact(8, 0, 0, 0)},
		"output only": {`{"usage":{"output_tokens":8}}`, exact(0, 0, 8, 0)},
		"null details": {`{"usage":{"prompt_tokens":8,"completion_tokens":null,"prompt_tokens_details":null}}`,
			exact(8, 0, 0, 0)},
		"both namings": {`{"usage":{"input_tokens":null,"prompt_tokens":8,"completion_tokens":1}}`,
			exact(8, 0, 1, 0)},
		"largest":        {`{"usage":{"prompt_tokens":9007199254740992}}`, exact(1<<53, 0, 0, 0)},
		"paid by second": {`{"text":"x","usage":{"type":"duration","seconds":3}}`, seen{}},
		"negative":       {`{"usage":{"prompt_tokens":-1,"completion_tokens":7}}`, seen{}},
		"negative details": {`{"usage":{"prompt_tokens":1,"prompt_tokens_details":{"cached_tokens":-1}}}`,
			seen{}},
		"absurd":                       {`{"usage":{"prompt_tokens":1e18,"completion_tokens":7}}`, seen{}},
		"endless":                      {`{"usage":{"prompt_tokens":1e999,"completion_tokens":7}}`, seen{}},
		"figures in text":              {`{"usage":{"prompt_tokens":1,"completion_tokens":"7"}}`, seen{}},
		"not an object":                {`{"usage":"a lot"}`, seen{}},
		"nested":                       {`{"choices":[{"usage":{"prompt_tokens":1}}]}`, seen{}},
		"cut in a figure":              {`{"usage":{"prompt_tokens":10,"completion_tokens":12`, seen{}},
		"no document":                  {`<html>"usage":{"prompt_tokens":1}`, seen{}},
		"an error is none of a stream": {`{"error":{"message":"m"}}`, seen{}},
		"long": {`{"data":["` + long + `"],"usage":{"input_tokens":5,"output_tokens":6},"metadata":{"usage":"usage"}}`,
			exact(5, 0, 6, 0)},
		"long, usage first": {`{"usage":{"input_tokens":5,"output_tokens":6},"data":["` + long + `"]}`,
			exact(5, 0, 6, 0)},
		"just long, usage early in the tail": {`{"data":["` + long[:lineKept-tailKept/2] +
			`"],"usage":{"input_tokens":5},"metadata":{"x":"` + long[:tailKept-100] + `"}}`, exact(5, 0, 0, 0)},
		"long, in a text":        {`{"content":"` + long + `\"usage\":{\"input_tokens\":5}"}`, seen{}},
		"long, at a longer name": {`{"content":"` + long + `","\"usage":{"input_tokens":5}}`, seen{}},
		"long, cut in a figure":  {`{"content":"` + long + `","usage":{"prompt_tokens":10`, seen{}},
		"long, many that are none": {`{"a":"` + long + `","usage":{"prompt_tokens":1},"b":[` +
			strings.Repeat(`{"usage":{`, 1000), seen{}},
		"long, another usage after": {`{"a":"` + long + `","usage":{"prompt_tokens":1},"b":{"usage":{"disk":5}}}`,
			seen{}},
		"long, null after the caller's": {`{"instructions":"` + long + `",` + callersUsage + `,"usage":null,"metadata":{"usage":"x"}}`, seen{}},
		"long, cut after the caller's":  {`{"instructions":"` + long + `",` + callersUsage + `,"top_p":1`, seen{}},
		"long, told after the caller's": {`{"instructions":"` + long + `",` + callersUsage + `,"usage":{"input_tokens":5},"user":null}`,
			exact(5, 0, 0, 0)},
	} {
		t.Run(name, func(t *testing.T) { everyCut(t, document, c.body, c.want) })
	}
}

func TestTapOfStreams(t *testing.T) {
	const usage = `"usage":{"input_tokens":5,"output_tokens":6}`
	ended, failed := seen{ended: true}, seen{failed: true}
	with := func(s seen, deltas int64, ended bool) seen { s.deltas, s.ended = deltas, ended; return s }
	for name, c := range map[string]struct {
		body string
		want seen
	}{
		"chat": {`data: {"choices":[{"delta":{"content":""}}],"usage":null}` + "\n\n" +
			`data: {"choices":[{"delta":{"content":"usage"}}],"usage":null}` + "\n\n" +
			`data:{"choices":[{"delta":{"content": "b"}}]}` + "\r\n\r\n" + ": comment\n\n" +
			`data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}` + "\n\ndata: [DONE]\n\n",
			with(exact(1, 0, 2, 0), 2, true)},
		"second choice": {`data: {"choices":[{"delta":{"content":""}},{"delta":{"content":"a"}}]}` + "\n\n",
			seen{deltas: 1}},
		"completions": {`data: {"choices":[{"text":"a"}]}` + "\n\n", seen{deltas: 1}},
		"tool call": {`data: {"choices":[{"delta":{"tool_calls":[{"type":"function","function":{"arguments":"{\"a"}}]}}]}` +
			"\n\n", seen{deltas: 1}},
		"reasoning": {`data: {"choices":[{"delta":{"content":null,"reasoning_content":"a"}}]}` + "\n\n",
			seen{deltas: 1}},
		"role and the end": {`data: {"choices":[{"delta":{"role":"assistant","content":""},"finish_reason":"stop"}]}` +
			"\n\n", seen{}},
		"response": {"event: response.output_text.delta\n" + `data: {"type":"response.output_text.delta","delta":"a"}` +
			"\n\n" +
			`data: {"type":"response.output_text.delta","delta":""}` + "\n\n" +
			`data: {"type":"response.output_text.done","text":"a"}` + "\n\n" +
			`data: {"type":"response.completed","response":{"error":null,"output":[{"text":"a"}],"usage":{"input_tokens":3,` +
			`"output_tokens":4,"output_tokens_details":{"reasoning_tokens":1}}}}` + "\n\n", with(exact(3, 0, 4, 1), 1, true)},
		"long, created": {`data: {"type":"response.created","response":{"instructions":"` + long + `",` + callersUsage + `,"usage":null}}` +
			"\n\n" + `data: {"type":"response.output_text.delta","delta":"a"}` + "\n\n", seen{deltas: 1}},
		"usage before the end": {`data: {"type":"response.in_progress","response":{` + usage + `}}` + "\n\n" +
			`data: {"type":"response.in_progress","response":{"x":"` + long + `",` + usage + `}}` + "\n\n", seen{}},
		"step of a run": {`data: {"type":"message_creation",` + usage + "}\n\n", exact(5, 0, 6, 0)},
		"incomplete":    {`data: {"type":"response.incomplete"}` + "\n\n", ended},
		"failed": {`data: {"type":"response.failed","response":{"error":{"code":"server_error"}}}` + "\n\n",
			seen{ended: true, failed: true}},
		"error":            {`data: {"error":{"message":"m"}}` + "\n\n", failed},
		"error, then done": {`data: {"error":{"message":"m"}}` + "\n\ndata: [DONE]\n\n", seen{ended: true, failed: true}},
		"error as a text":  {`data: {"error":"m"}` + "\n\n", failed},
		"typed error":      {`data: {"type":"error","code":"c","message":"m"}` + "\n\n", failed},
		"named error":      {"event: error\n" + `data: {"message":"m"}` + "\n\n", failed},
		"a name alone":     {"event: error\n\n" + `data: {"message":"m"}` + "\n\n", seen{}},
		"no error": {`data: {"type":"response.created","response":{"error":{}}}` + "\n\n" +
			`data: {"error":null}` + "\n\n", seen{}},
		"a text error": {`data: {"choices":[{"delta":{"content":"error"}}]}` + "\n\n", seen{deltas: 1}},
		"image": {`data: {"type":"image_generation.completed",` + usage + "}\n\n", with(exact(5, 0, 6, 0), 0,
			true)},
		"edited image": {`data: {"type":"image_edit.completed"}` + "\n\n", ended},
		"speech":       {`data: {"type":"speech.audio.done",` + usage + "}\n\n", with(exact(5, 0, 6, 0), 0, true)},
		"transcript": {`data: {"type":"transcript.text.delta","delta":"a"}` + "\n\n" +
			`data: {"type":"transcript.text.done","text":"a",` + usage + "}\n\n", with(exact(5, 0, 6, 0), 1, true)},
		"done without a line end":      {"data: [DONE]", ended},
		"completed without a line end": {`data: {"type":"response.completed"}`, ended},
		"cut in the last event":        {`data: {"type":"response.completed","response":{"usage":{"input_tokens":3}`, seen{}},
		"done is a text":               {"data: [DONE] \"not yet\"\n\n", seen{}},
		"long image": {`data: {"type":"image_generation.completed","b64_json":"` + long + `",` + usage + "}\r\n\r\n",
			with(exact(5, 0, 6, 0), 0, true)},
		"long response, type last": {"event: response.completed\n" + `data: {"response":{"text":"` + long + `",` + usage +
			`},"type":"response.completed"}` + "\n\n", with(exact(5, 0, 6, 0), 0, true)},
		"long delta":             {`data: {"choices":[{"delta":{"content":"` + long + `"}}]}` + "\n\n", seen{deltas: 1}},
		"long error":             {`data: {"error":{"message":"` + long + `"}}` + "\n\n", failed},
		"long image, unfinished": {`data: {"type":"image_generation.completed","b64_json":"` + long, seen{}},
		"long comment":           {`: {"type":"response.completed","x":"` + long + `"}` + "\n\ndata: [DO", seen{}},
		"garbage":                {"data: {{{{\ndata\n\n\x00\xff\nevent:\ndata:\n", seen{}},
	} {
		t.Run(name, func(t *testing.T) { everyCut(t, events, c.body, c.want) })
	}
}

func TestTapOfTypes(t *testing.T) {
	const body = `{"usage":{"input_tokens":5,"output_tokens":6}}`
	const stream = "data: [DONE]\n\n"
	for contentType, want := range map[string]string{
		"application/json": "usage", "Application/JSON; charset=utf-8": "usage", "application/problem+json": "usage",
		"text/event-stream": "end", "Text/Event-Stream;charset=utf-8": "end",
		"audio/mpeg": "", "text/plain": "", "text/event-streams": "", "": "",
	} {
		got := ""
		if s := tapped(t, contentType, body, 7); s.known {
			got = "usage"
		}
		if s := tapped(t, contentType, stream, 7); s.ended {
			got += "end"
		}
		if got != want {
			t.Errorf("%q: %q, want %q", contentType, got, want)
		}
	}
}

// A tap may be asked before the end, and then goes on.
func TestTapIsAskedBetween(t *testing.T) {
	tap := NewTap(events)
	var got []string
	for _, piece := range []string{`data: {"choices":[{"delta":{"content":"a"}}]}`, "\n", "\ndata: [DONE]", "\n\n"} {
		fmt.Fprint(tap, piece)
		got = append(got, fmt.Sprint(tap.Deltas(), tap.Ended(), tap.Failed()))
	}
	want := "[1 false false 1 false false 1 true false 1 true false]"
	if fmt.Sprint(got) != want {
		t.Errorf("%v, want %s", got, want)
	}
}

func FuzzTap(f *testing.F) {
	for _, s := range []string{`data: {"usage":{"prompt_tokens":1,"completion_tokens":2}}` + "\n\n",
		"event: error\r\n" + `data: {"type":"response.completed","a":"@@","usage":{"input_tokens":1}}`,
		`data: {"usage":{"prompt_tokens":1},"a":"@@"` + "\n@@@@\n", "data: [DONE]"} {
		f.Add(events, []byte(s), 3)
	}
	f.Add(document, []byte(`{"usage":{"input_tokens":1}}`), 1)
	f.Add(document, []byte(`{"a":"@@","usage":{"input_tokens":1},"usage":"@"`), 40_000)
	f.Fuzz(func(t *testing.T, contentType string, body []byte, write int) {
		text := lengthened(body)
		whole := tapped(t, contentType, text, len(text))
		if pieces := tapped(t, contentType, text, max(write, len(text)/1000+1)); whole != pieces {
			t.Errorf("at once %+v, in pieces %+v", whole, pieces)
		}
		for _, n := range []int64{whole.usage.Input, whole.usage.Cached, whole.usage.Output, whole.usage.Reasoning} {
			if n < 0 || n > mostTokens {
				t.Errorf("usage %+v", whole.usage)
			}
		}
		if whole.known != (whole.usage.Basis == Exact) {
			t.Errorf("%+v", whole)
		}
	})
}

// Ordinary events, as each token brings one.
func chunks() map[string][]byte {
	const chat = `data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1741569952,"model":"gpt-4o-mini",` +
		`"choices":[{"index":0,"delta":{"content":" token"},"logprobs":null,"finish_reason":null}]`
	return map[string][]byte{
		"chat":       []byte(chat + "}\n\n"),
		"chat, null": []byte(chat + `,"usage":null}` + "\n\n"),
		"response": []byte("event: response.output_text.delta\n" +
			`data: {"type":"response.output_text.delta","sequence_number":7,` +
			`"item_id":"msg_1","output_index":0,"content_index":0,"delta":" token","logprobs":[]}` + "\n\n"),
	}
}

func TestTapAllocatesNothing(t *testing.T) {
	for name, chunk := range chunks() {
		tap := NewTap(events)
		if n := testing.AllocsPerRun(100, func() { tap.Write(chunk) }); n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkTap(b *testing.B) {
	for name, chunk := range chunks() {
		b.Run(name, func(b *testing.B) {
			tap := NewTap(events)
			b.ReportAllocs()
			b.SetBytes(int64(len(chunk)))
			for b.Loop() {
				tap.Write(chunk)
			}
		})
	}
}
