package openai

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/tidwall/gjson"
)

// usageByGJSON reads the usage of a well-formed document in the plain way.
func usageByGJSON(text string) (u Usage, found bool) {
	object := gjson.Get(text, "usage")
	if !object.IsObject() {
		object = gjson.Get(text, "response.usage")
	}
	if !object.IsObject() {
		return u, false
	}
	first := func(in gjson.Result, name string) (found gjson.Result) {
		in.ForEach(func(key, value gjson.Result) bool {
			if key.String() == name && !found.Exists() {
				found = value
			}
			return true
		})
		return found
	}
	bad, said := false, false
	figure := func(v gjson.Result) int64 {
		if v.Type == gjson.Null {
			return 0
		}
		bad = bad || v.Type != gjson.Number || v.Num < 0 || v.Num > mostTokens
		return int64(v.Num)
	}
	for _, form := range [][2]string{{"input", "output"}, {"prompt", "completion"}} {
		in, out := first(object, form[0]+"_tokens"), first(object, form[1]+"_tokens")
		if said = in.Type == gjson.Number || out.Type == gjson.Number; !said {
			continue
		}
		details := func(name string) gjson.Result {
			if usual := first(object, name+"_tokens_details"); usual.IsObject() {
				return usual
			}
			if other := first(object, name+"_token_details"); other.IsObject() {
				return other
			}
			return gjson.Result{}
		}
		u = Usage{Basis: Exact, Input: figure(in), Output: figure(out), Cached: figure(first(details(form[0]), "cached_tokens")),
			Reasoning: figure(first(details(form[1]), "reasoning_tokens"))}
		break
	}
	if bad || !said {
		return Usage{}, false
	}
	return u, true
}

// FuzzUsage compares with gjson.
func FuzzUsage(f *testing.F) {
	for _, text := range []string{`{"usage":{"prompt_tokens":1,"completion_tokens":2}}`, `{"choices":[{"usage":{"prompt_tokens":1}}]}`,
		"{ \"usage\" :\n {\"input_tokens\": 1e3, \"input_tokens_details\": {\"cached_tokens\": 7}} , \"metadata\": {\"a\":\"}\"} } ",
		`{"response":{"usage":{"output_tokens":9,"output_token_details":{"reasoning_tokens":-1}}}}`, `{"response":{"usage":{"output_tokens":9}},"a":1}`,
		`{"a\"usage":{"prompt_tokens":1}}`, `{"a":"\"usage\":{","usage":{"prompt_tokens":123456789012345678}}`, `{"usage":{"prompt_tokens":"1"}}`,
		`{"usage":{"prompt_tokens":1,"prompt_tokens":2,"completion_tokens":null},"x":[{},{},{},{},{},{},{},{},{}]}`, `{"usage":null}`, `{"usage":{}}`,
		`{"usage":{"prompt_tokens":1.5,"prompt_tokens_details":null,"prompt_token_details":{"cached_tokens":1}}}`, `[{"usage":{"prompt_tokens":1}}]`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if !json.Valid([]byte(text)) || strings.Count(text, "usage") > 1 || strings.Contains(text, `\u`) || strings.Count(text, "response") > 1 {
			usageAtEnd(text) // does not fail
			return
		}
		got, known := usageAtEnd(text)
		got.Written, got.AudioIn, got.AudioOut, got.ImageIn, got.ImageOut = 0, 0, 0, 0, 0
		if want, is := usageByGJSON(text); known != is || got != want {
			t.Errorf("%q: %+v, %v, and gjson reads %+v, %v", text, got, known, want, is)
		}
	})
}
