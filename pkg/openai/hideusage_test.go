package openai

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// stream is what an upstream sends when it was asked for usage, and what it would have sent otherwise.
func drawStream(t *rapid.T) (asked, plain string) {
	end := rapid.SampledFrom([]string{"\n", "\r\n"}).Draw(t, "line end")
	null := rapid.SampledFrom([]string{`,"usage":null`, `, "usage": null`, `,"usage" : null`}).Draw(t, "null")
	var a, p strings.Builder
	for range rapid.IntRange(0, 12).Draw(t, "events") {
		text := rapid.SampledFrom([]string{"hi", `\"usage\":null`, `a,\"usage\":{}`, "äöü", "", `\\`}).Draw(t, "text")
		switch rapid.IntRange(0, 4).Draw(t, "kind") {
		case 0:
			a.WriteString(": comment" + end + end)
			p.WriteString(": comment" + end + end)
		case 1: // Azure's first event has no choices, and no usage
			both := `data: {"choices":[],"prompt_filter_results":[]`
			a.WriteString(both + null + "}" + end + end)
			p.WriteString(both + "}" + end + end)
		default:
			both := `data: {"choices":[{"delta":{"content":"` + text + `"}}]`
			a.WriteString(both + null + "}" + end + end)
			p.WriteString(both + "}" + end + end)
		}
	}
	if rapid.Bool().Draw(t, "told") {
		a.WriteString(`data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}` + end + end)
	}
	last := "data: [DONE]" + end + end
	if rapid.Bool().Draw(t, "unfinished") {
		last = "data: [DO"
	}
	return a.String() + last, p.String() + last
}

// However the stream is cut into reads, the caller gets what the upstream would have sent without being asked.
func TestUsageFilter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		asked, plain := drawStream(t)
		var f UsageFilter
		var got strings.Builder
		for rest := asked; rest != ""; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "read")
			got.Write(f.Next([]byte(rest[:n])))
			rest = rest[n:]
		}
		got.Write(f.Flush())
		if got.String() != plain {
			t.Fatalf("the caller got\n%q\nwant\n%q", got.String(), plain)
		}
	})
}

// An event that is longer than what is held passes as it is, whole, and the next one is filtered again.
func TestUsageFilterLetsLongEventsPass(t *testing.T) {
	long := `data: {"choices":[{"delta":{"content":"` + strings.Repeat("x", 2*filterHeld) + `"}}],"usage":null}` + "\n\n"
	short := `data: {"choices":[{"delta":{}}],"usage":null}` + "\n\n"
	for _, read := range []int{1000, 4096, 16 << 10, 1 << 20} {
		var f UsageFilter
		var got strings.Builder
		for rest := long + short; rest != ""; {
			n := min(read, len(rest))
			got.Write(f.Next([]byte(rest[:n])))
			rest = rest[n:]
			if len(f.pending) > filterHeld {
				t.Fatalf("%d bytes held", len(f.pending))
			}
		}
		got.Write(f.Flush())
		want := long
		if read > len(long) { // it was never unfinished
			want = strings.Replace(long, `,"usage":null`, "", 1)
		}
		if got.String() != want+strings.Replace(short, `,"usage":null`, "", 1) {
			t.Errorf("reads of %d: %d bytes, want %d", read, got.Len(), len(want))
		}
	}
}

func TestInjectUsage(t *testing.T) {
	for _, c := range []struct{ body, want string }{
		{`{"stream":true}`, `{"stream":true,"stream_options":{"include_usage":true}}`},
		{`{ "stream" : true , "stream_options":null}`, `{ "stream" : true , "stream_options":{"include_usage":true}}`},
		{`{"stream_options":{"include_obfuscation":false},"x":1.0e3}`, `{"stream_options":{"include_obfuscation":false,"include_usage":true},"x":1.0e3}`},
		{`{"stream_options":{"include_usage":false}}`, `{"stream_options":{"include_usage":true}}`},
		{`{"stream_options":{},"stream_options":{}}`, ``},
		{`{"stream_options":5}`, ``},
	} {
		got, err := InjectUsage([]byte(c.body))
		if string(got) != c.want || (err != nil) != (c.want == "") {
			t.Errorf("%s became %s, %v, want %s", c.body, got, err, c.want)
		}
	}
}
