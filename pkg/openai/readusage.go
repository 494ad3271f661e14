package openai

import (
	"encoding/json"
	"strings"

	"github.com/tidwall/gjson"
)

// usageIn finds the usage in a document or at its beginning: a member of the top level, or of its response.
func usageIn(text string) (Usage, bool) {
	if lastUsage(text) < 0 {
		return Usage{}, false
	}
	usage := gjson.Get(text, "usage")
	if !usage.IsObject() {
		usage = gjson.Get(text, "response.usage")
	}
	return usageOf(usage)
}

// usagesTried is how many objects named "usage" are looked at in a tail. One is there; an upstream that sends
// thousands, none of them whole, must not cost thousands of looks.
const usagesTried = 8

// usageInTail finds the usage in what is left of a longer document: the last object of that name that is one. Behind it
// stand only the caller's metadata, which are strings.
func usageInTail(text string) (Usage, bool) {
	before := len(text)
	for range usagesTried {
		i := lastUsage(text[:before])
		if i < 0 {
			break
		}
		var object json.RawMessage
		if json.NewDecoder(strings.NewReader(valueAt(text, i))).Decode(&object) == nil {
			if usage, ok := usageOf(gjson.ParseBytes(object)); ok {
				return usage, true
			}
		}
		before = i
	}
	return Usage{}, false
}

// lastUsage is where a member "usage" stands last whose value is an object; -1 when none does. In a string its quotes
// would be escaped, both of them unless it only ends a longer name.
func lastUsage(text string) int {
	name := view(usageName)
	last := -1
	for from := 0; ; from += len(name) {
		i := strings.Index(text[from:], name)
		if i < 0 {
			return last
		}
		from += i
		if !strings.HasSuffix(text[:from], `\`) && strings.HasPrefix(valueAt(text, from), "{") {
			last = from
		}
	}
}

// valueAt is the text from the value on of the member "usage" at an index; empty when it is no member.
func valueAt(text string, i int) string {
	value, found := strings.CutPrefix(strings.TrimLeft(text[i+len(usageName):], space), ":")
	if !found {
		return ""
	}
	return strings.TrimLeft(value, space)
}

// mostTokens bounds what is believed: beyond it integers lose digits on their way through Lua and JavaScript.
const mostTokens = 1 << 53

// usageOf reads a whole usage object in any of its forms; false for others, such as that of a transcription which is
// paid by the second, and for figures that cannot be.
func usageOf(u gjson.Result) (Usage, bool) {
	if !u.IsObject() || !gjson.Valid(u.Raw) {
		return Usage{}, false
	}
	input, output := u.Get("input_tokens"), u.Get("output_tokens")
	in, out := details(u, "input"), details(u, "output")
	if input.Type != gjson.Number && output.Type != gjson.Number {
		input, output = u.Get("prompt_tokens"), u.Get("completion_tokens")
		in, out = details(u, "prompt"), details(u, "completion")
	}
	if input.Type != gjson.Number && output.Type != gjson.Number {
		return Usage{}, false
	}
	usage := Usage{Basis: Exact}
	for _, figure := range [...]struct {
		to   *int64
		from gjson.Result
	}{
		{&usage.Input, input}, {&usage.Output, output},
		{&usage.Cached, in.Get("cached_tokens")}, {&usage.Reasoning, out.Get("reasoning_tokens")},
	} {
		if figure.from.Type == gjson.Null { // or absent
			continue
		}
		var ok bool
		if *figure.to, ok = tokensIn(figure.from); !ok {
			return Usage{}, false
		}
	}
	// Of these nothing but a price depends, so that one which cannot be costs no other figure.
	usage.Written, _ = tokensIn(in.Get("cache_write_tokens"))
	usage.AudioIn, _ = tokensIn(in.Get("audio_tokens"))
	usage.AudioOut, _ = tokensIn(out.Get("audio_tokens"))
	usage.ImageIn, _ = tokensIn(in.Get("image_tokens"))
	usage.ImageOut, _ = tokensIn(out.Get("image_tokens"))
	return usage, true
}

func tokensIn(n gjson.Result) (int64, bool) {
	if n.Type != gjson.Number || n.Num < 0 || n.Num > mostTokens {
		return 0, false
	}
	return int64(n.Num), true
}

// details is the object that says what a figure is made of. Transcriptions and the realtime API spell it without the s.
func details(u gjson.Result, of string) gjson.Result {
	if d := u.Get(of + "_tokens_details"); d.IsObject() {
		return d
	}
	return u.Get(of + "_token_details")
}
