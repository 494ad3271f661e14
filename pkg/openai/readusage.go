package openai

import (
	"encoding/json"
	"slices"
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
	value, found := strings.CutPrefix(afterSpace(text[i+len(usageName):]), ":")
	if !found {
		return ""
	}
	return afterSpace(value)
}

// mostTokens bounds what is believed: beyond it integers lose digits on their way through Lua and JavaScript.
const mostTokens = 1 << 53

// usageOf reads a whole usage object in any of its forms; false for others, such as that of a transcription which is
// paid by the second, and for figures that cannot be.
func usageOf(u gjson.Result) (Usage, bool) {
	if !u.IsObject() || !gjson.Valid(u.Raw) {
		return Usage{}, false
	}
	var all [len(usageNames)]part
	find(u, usageNames[:], all[:])
	form := all[:len(all)/2] // of responses
	if form[0].kind != gjson.Number && form[1].kind != gjson.Number {
		form = all[len(all)/2:] // of chat and completions
	}
	if form[0].kind != gjson.Number && form[1].kind != gjson.Number {
		return Usage{}, false
	}
	var in, out [len(detailNames)]part
	find(details(form[2], form[3]), detailNames[:], in[:])
	find(details(form[4], form[5]), detailNames[:], out[:])
	usage := Usage{Basis: Exact}
	for _, figure := range [...]struct {
		to   *int64
		from *part
	}{{&usage.Input, &form[0]}, {&usage.Output, &form[1]}, {&usage.Cached, &in[0]}, {&usage.Reasoning, &out[1]}} {
		if figure.from.kind == gjson.Null { // or absent
			continue
		}
		var ok bool
		if *figure.to, ok = figure.from.tokens(); !ok {
			return Usage{}, false
		}
	}
	// Of these nothing but a price depends, so that one which cannot be costs no other figure.
	usage.Written, _ = in[2].tokens()
	usage.AudioIn, _ = in[3].tokens()
	usage.AudioOut, _ = out[3].tokens()
	usage.ImageIn, _ = in[4].tokens()
	usage.ImageOut, _ = out[4].tokens()
	return usage, true
}

// usageNames are the members of a usage that are read: two figures and what each is made of, in either of two forms.
// Transcriptions and the realtime API spell details without the s.
var usageNames = [...]string{
	"input_tokens", "output_tokens", "input_tokens_details", "input_token_details", "output_tokens_details", "output_token_details",
	"prompt_tokens", "completion_tokens", "prompt_tokens_details", "prompt_token_details", "completion_tokens_details", "completion_token_details",
}

var detailNames = [...]string{"cached_tokens", "reasoning_tokens", "cache_write_tokens", "audio_tokens", "image_tokens"}

// part is what is kept of a member of an object.
type part struct {
	raw  string // empty: it is not there
	kind gjson.Type
	num  float64
}

// find reads the members of those names in one pass. Of two with one name it takes the first.
func find(object gjson.Result, names []string, into []part) {
	object.ForEach(func(key, value gjson.Result) bool {
		if i := slices.Index(names, key.String()); i >= 0 && into[i].raw == "" {
			into[i] = part{value.Raw, value.Type, value.Num}
		}
		return true
	})
}

func (m *part) tokens() (int64, bool) {
	if m.kind != gjson.Number || m.num < 0 || m.num > mostTokens {
		return 0, false
	}
	return int64(m.num), true
}

// details is the object that says what a figure is made of, in the better of two spellings.
func details(usual, other part) gjson.Result {
	if strings.HasPrefix(usual.raw, "{") {
		return gjson.Result{Type: gjson.JSON, Raw: usual.raw}
	}
	if strings.HasPrefix(other.raw, "{") {
		return gjson.Result{Type: gjson.JSON, Raw: other.raw}
	}
	return gjson.Result{}
}
