package openai

import (
	"bytes"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// filtered passes a stream through a filter, in reads as long as the function says.
func filtered(t interface{ Fatalf(string, ...any) }, stream string, read func(left int) int) string {
	var f UsageFilter
	var got strings.Builder
	for stream != "" {
		n := read(len(stream))
		got.Write(f.Next([]byte(stream[:n])))
		if len(f.pending) > filterHeld {
			t.Fatalf("%d bytes held", len(f.pending))
		}
		stream = stream[n:]
	}
	got.Write(f.Flush())
	return got.String()
}

func atOnce(left int) int { return left }

func drawn(t *rapid.T) func(int) int {
	return func(left int) int { return rapid.IntRange(1, left).Draw(t, "read") }
}

// drawStream draws what an upstream sends that was asked for usage, and what it would have sent otherwise.
func drawStream(t *rapid.T) (asked, plain string) {
	pick := func(label string, of ...string) string { return rapid.SampledFrom(of).Draw(t, label) }
	end := pick("line end", "\n", "\r\n")
	data := pick("data field", "data: ", "data:")
	null := pick("null", `,"usage":null`, `, "usage": null`, `,"usage" : null`, ` ,"usage":null`)
	var a, p strings.Builder
	both := func(s string) { a.WriteString(s); p.WriteString(s) }
	for range rapid.IntRange(0, 12).Draw(t, "events") {
		switch rapid.IntRange(0, 5).Draw(t, "kind") {
		case 0:
			both(": comment" + end + end)
			continue
		case 1:
			both(": a comment on it" + end)
		case 2:
			both("event: chunk" + end + "id: 7" + end)
		}
		choices := `{"delta":{"content":"` + pick("text", "hi", "usage", `\"usage`, `\"usage\":null`, `,\"usage\":null,`,
			`a,\"usage\":{}`, "äöü", "", `\\`) + `"}}`
		if rapid.IntRange(0, 4).Draw(t, "Azure's first") == 0 { // it has no choices, and no usage
			choices = ""
		}
		both(data + `{"choices":[` + choices + `]`)
		a.WriteString(null)
		both(pick("rest", "}", ` , "x":{"usage":null}}`) + end + end)
	}
	if rapid.Bool().Draw(t, "told") {
		a.WriteString(data + `{"choices":` + pick("empty", "[]", "[ ]") + `,"usage":{"prompt_tokens":1}}` + end + end)
	}
	both(pick("last", data+"[DONE]"+end+end, data+"[DO", end, ""))
	return a.String(), p.String()
}

// However the stream is cut into reads, the caller gets what the upstream would have sent without being asked.
func TestUsageFilter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		asked, plain := drawStream(t)
		if got := filtered(t, asked, drawn(t)); got != plain {
			t.Fatalf("%q\nbecame\n%q\nwant\n%q", asked, got, plain)
		}
	})
}

// Around the longest event that is filtered it makes no difference either how the stream was cut.
func TestUsageFilterLetsLongEventsPass(t *testing.T) {
	event := func(length int, usage string) string {
		head, tail := `data: {"choices":[{"delta":{"content":"`, `"}}]`+usage+"}\r\n\r\n"
		return head + strings.Repeat("x", length-len(head)-len(tail)) + tail
	}
	const null = `,"usage":null`
	short := event(200, null)
	want := strings.Replace(short, null, "", 1)
	for _, length := range []int{filterHeld - 1, filterHeld, filterHeld + 1, filterHeld + 3, 2 * filterHeld} {
		long := event(length, null)
		wantLong := long
		if length <= filterHeld {
			wantLong = strings.Replace(long, null, "", 1)
		}
		for _, read := range []int{1, 1000, 4096, filterHeld, filterHeld + 1, 1 << 20} {
			got := filtered(t, long+short, func(left int) int { return min(read, left) })
			if got != wantLong+want {
				t.Errorf("an event of %d in reads of %d: %d bytes passed, want %d", length, read, len(got),
					len(wantLong+want))
			}
		}
	}
}

func TestUsageFilterEvents(t *testing.T) {
	for name, c := range map[string]struct{ event, want string }{
		"first member":   {`data: {"usage": null, "choices":[1]}`, `data: {"choices":[1]}`},
		"middle member":  {`data: {"choices":[1], "usage":null, "x":1}`, `data: {"choices":[1], "x":1}`},
		"only member":    {`data: {"usage":null}`, `data: {}`},
		"space inside":   {`data: { "usage" : null }`, `data: {  }`},
		"name in escape": {`data: {"a":1,"us\u0061ge":null}`, `data: {"a":1,"us\u0061ge":null}`},
		"nested":         {`data: {"choices":[{"usage":null}]}`, `data: {"choices":[{"usage":null}]}`},
		"usage of a chunk with choices": {`data: {"choices":[1],"usage":{"prompt_tokens":1}}`,
			`data: {"choices":[1],"usage":{"prompt_tokens":1}}`},
		"usage without choices":  {`data: {"usage":{"prompt_tokens":1}}`, `data: {"usage":{"prompt_tokens":1}}`},
		"choices are null":       {`data: {"choices":null,"usage":{}}`, `data: {"choices":null,"usage":{}}`},
		"usage first":            {`data: {"usage":{"prompt_tokens":1},"choices":[]}`, ""},
		"behind other fields":    {"event: x\nid: 1\n" + `data: {"choices":[],"usage":{}}`, ""},
		"a comment on it":        {": c\n" + `data: {"choices":[],"usage":{}}` + "\n: d", ": c\n: d\n"},
		"in two lines":           {"data: {\"choices\":[],\ndata: \"usage\":{}}", ""},
		"null in the first line": {"data: {\"usage\":null,\ndata: \"choices\":[1]}", "data: {\ndata: \"choices\":[1]}"},
		"null in the second line": {"data: {\"choices\":[1],\ndata: \"usage\":null}",
			"data: {\"choices\":[1],\ndata: \"usage\":null}"},
		"the rest in the second line": {"data: {\"usage\":null\ndata: ,\"x\":1}", "data: {\"usage\":null\ndata: ,\"x\":1}"},
		"no document":                 {`data: "usage":null`, `data: "usage":null`},
		"no data":                     {`: {"usage":null}`, `: {"usage":null}`},
		"unfinished null":             {`data: {"a":1,"usage":nu`, `data: {"a":1,"usage":nu`},
	} {
		t.Run(name, func(t *testing.T) {
			want := c.want
			if !strings.HasSuffix(want, "\n") && want != "" {
				want += "\n\n"
			}
			if got := filtered(t, c.event+"\n\n", atOnce); got != want {
				t.Errorf("%q became %q, want %q", c.event, got, want)
			}
		})
	}
}

// Of any bytes whatever, what passes is a part of them, and does not depend on the reads.
func FuzzUsageFilter(f *testing.F) {
	f.Add([]byte("data: {\"choices\":[],\"usage\":null}\n\ndata: {\"choices\":[],\"usage\":{}}\r\n\r\n"), 3)
	f.Add([]byte("\n\n\r\n\r\r\n\ndata:\n\n"), 1)
	f.Add([]byte("data: {\"a\":\"@\",\"usage\":null}\n\n@@\r\n\r\n@"), 5000)
	f.Add([]byte(`data: {"usage":null`), 2)
	f.Fuzz(func(t *testing.T, stream []byte, read int) {
		text := lengthened(stream)
		whole := filtered(t, text, atOnce)
		pieces := filtered(t, text, func(left int) int { return min(left, max(read, len(text)/1000+1)) })
		if whole != pieces {
			t.Errorf("%q\nat once becomes\n%q\nin pieces\n%q", stream, whole, pieces)
		}
		rest := text
		for i := range len(whole) {
			at := strings.IndexByte(rest, whole[i])
			if at < 0 {
				t.Fatalf("%q became %q", stream, whole)
			}
			rest = rest[at+1:]
		}
	})
}

// lengthened puts a long run of letters in the place of each of the first @, so that a small input reaches the bounds.
func lengthened(b []byte) string {
	return string(bytes.Replace(b, []byte("@"), bytes.Repeat([]byte("A"), 50<<10), 4))
}

func BenchmarkUsageFilter(b *testing.B) {
	chunk := []byte(`data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1741569952,"model":"gpt-4o",` +
		`"choices":[{"index":0,"delta":{"content":" token"},"logprobs":null,"finish_reason":null}],"usage":null}` + "\n\n")
	var f UsageFilter
	b.ReportAllocs()
	b.SetBytes(int64(len(chunk)))
	for b.Loop() {
		f.Next(chunk)
	}
}
