package openai

import (
	"slices"
	"strings"

	"github.com/tidwall/gjson"
)

// usageIn finds the usage in a document or at its beginning: a member of the top level, or of its response.
func usageIn(text string) (Usage, bool) {
	if !hasUsage(text) {
		return Usage{}, false
	}
	usage := gjson.Get(text, "usage")
	if !usage.IsObject() {
		usage = gjson.Get(text, "response.usage")
	}
	return usageOf(usage.Raw)
}

// usageAtEnd finds the usage in a whole document. Mostly it stands near the end, and nothing but the document is closed behind
// it: then it is of the top level, and nobody need read what stands before it.
func usageAtEnd(text string) (Usage, bool) {
	i := len(text)
	for range usagesTried {
		if i = strings.LastIndexByte(text[:i], '{'); i < 0 {
			break
		}
		name, isMember := strings.CutSuffix(beforeSpace(text[:i]), ":")
		name, isUsage := strings.CutSuffix(beforeSpace(name), view(usageName))
		if !isMember || !isUsage || strings.HasSuffix(name, `\`) {
			continue
		}
		var all figures
		v := validate(text[i:])
		if !tooDeep(text[i:]) && v.find(usageNames[:], all[:]) && v.others('}', v.member) && v.ended() {
			return all.usage()
		}
		break
	}
	return usageIn(text)
}

// usagesTried is how many objects are looked at from the end. One is there; an upstream that sends
// thousands, none of them whole, must not cost thousands of looks.
const usagesTried = 8

// usageInTail finds the usage in what is left of a longer document: the last member of that name, where nothing but the document,
// or its response, is closed behind it. Before it may stand what the caller sent, and a null says that nothing is told yet.
func usageInTail(text string) (Usage, bool) {
	value := lastUsage(text)
	if tooDeep(value) {
		return Usage{}, false
	}
	var all figures
	v := validate(value)
	if !v.find(usageNames[:], all[:]) {
		return Usage{}, false
	}
	for range 2 {
		if !v.others('}', v.member) {
			break
		}
		if v.ended() {
			return all.usage()
		}
	}
	return Usage{}, false
}

// lastUsage is the text from the value on of the last member "usage" that is no string, as in the caller's metadata; empty
// when there is none. In a string its quotes would be escaped, both of them unless it only ends a longer name.
func lastUsage(text string) string {
	for before := text; ; {
		i := strings.LastIndex(before, view(usageName))
		if i < 0 {
			return ""
		}
		before = text[:i]
		if value := valueAt(text, i); value != "" && value[0] != '"' && !strings.HasSuffix(before, `\`) {
			return value
		}
	}
}

// hasUsage reports whether a member "usage" stands anywhere whose value is an object.
func hasUsage(text string) bool {
	name := view(usageName)
	for from := 0; ; from += len(name) {
		i := strings.Index(text[from:], name)
		if i < 0 {
			return false
		}
		from += i
		if !strings.HasSuffix(text[:from], `\`) && strings.HasPrefix(valueAt(text, from), "{") {
			return true
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
func usageOf(object string) (Usage, bool) {
	var all figures
	v := validate(object)
	if v.blank(); tooDeep(object) || !v.find(usageNames[:], all[:]) || !v.ended() {
		return Usage{}, false
	}
	return all.usage()
}

// figures are the members of a usage that are read, in the order of their names.
type figures [len(usageNames)]part

func (all *figures) usage() (Usage, bool) {
	form := all[:len(all)/2] // of responses
	if form[0].kind != gjson.Number && form[1].kind != gjson.Number {
		form = all[len(all)/2:] // of chat and completions
	}
	if form[0].kind != gjson.Number && form[1].kind != gjson.Number {
		return Usage{}, false
	}
	in, out := details(form[2], form[3]), details(form[4], form[5])
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

// find reads the members of those names of the object at hand, and reports whether it is whole. Of two with one name it
// takes the first.
func (v *validator) find(names []string, into []part) (whole bool) {
	return v.object(func(name, value string) {
		if i := slices.Index(names, name); i >= 0 && into[i].raw == "" {
			v := parsed(value)
			into[i] = part{value, v.Type, v.Num}
		}
	})
}

func (m *part) tokens() (int64, bool) {
	if m.kind != gjson.Number || m.num < 0 || m.num > mostTokens {
		return 0, false
	}
	return int64(m.num), true
}

// details are what a figure is made of, from the better of two spellings.
func details(usual, other part) (all [len(detailNames)]part) {
	if !strings.HasPrefix(usual.raw, "{") {
		usual = other
	}
	v := validate(usual.raw)
	v.find(detailNames[:], all[:])
	return all
}
