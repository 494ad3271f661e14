package openai

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestReadHead(t *testing.T) {
	for name, c := range map[string]struct {
		body string
		want Head
	}{
		"chat": {`{"model":"gpt-4o","stream":true,"max_tokens":5,"stream_options":{"include_usage":true}}`,
			Head{Model: "gpt-4o", Readable: true, Stream: true, IncludeUsage: true, MaxTokens: 5}},
		"the last of two models":  {`{"model":"a","model":"b"}`, Head{Model: "b", Doubled: true, Readable: true}},
		"a name in escapes":       {`{"model":"a","mod\u0065l":"b"}`, Head{Model: "b", Doubled: true, Readable: true}},
		"a value in escapes":      {`{"model":"\u0067pt"}`, Head{Model: "gpt", Readable: true}},
		"a nested model is none":  {`{"x":{"model":"a"},"messages":[{"model":"b"}]}`, Head{Readable: true}},
		"a model in a string":     {`{"messages":"\"model\":\"a\""}`, Head{Readable: true}},
		"a model that is no text": {`{"model":["a"]}`, Head{Readable: true}},
		"null model after one":    {`{"model":"a","model":null}`, Head{Doubled: true, Readable: true}},
		"another case":            {`{"Model":"a"}`, Head{Readable: true}},
		"unfinished":              {`{"model":"a","x":"`, Head{Model: "a"}},
		"something behind":        {`{"model":"a"}]`, Head{Model: "a"}},
		"space around":            {" \r\n\t{\"model\" : \"a\"}\n", Head{Model: "a", Readable: true}},
		"not an object":           {`["model"]`, Head{}},
		"empty":                   {``, Head{}},
		"background":              {`{"background":true}`, Head{Readable: true, Background: true}},
		"the last stream":         {`{"stream":true,"stream":false}`, Head{Readable: true}},
		"the last of two include_usage": {`{"stream_options":{"include_usage":true,"include_usage":false}}`,
			Head{Readable: true}},
		"options in a text":   {`{"stream_options":"{\"include_usage\":true}"}`, Head{Readable: true}},
		"negative bound":      {`{"max_output_tokens":-4}`, Head{Readable: true}},
		"a bound in a text":   {`{"max_tokens":"7"}`, Head{Readable: true}},
		"an endless bound":    {`{"max_tokens":1e999}`, Head{Readable: true, MaxTokens: mostTokens}},
		"the larger bound":    {`{"max_completion_tokens":500,"max_tokens":1}`, Head{Readable: true, MaxTokens: 500}},
		"the last bound":      {`{"max_tokens":500,"max_tokens":2}`, Head{Readable: true, MaxTokens: 2}},
		"a tier":              {`{"service_tier":"pri\u006frity"}`, Head{Readable: true, Tier: "priority"}},
		"no tier":             {`{"service_tier":null}`, Head{Readable: true}},
		"a tier of no text":   {`{"service_tier":["flex"]}`, Head{Readable: true, Tier: `["flex"]`}},
		"null beside a bound": {`{"max_completion_tokens":5,"max_tokens":null}`, Head{Readable: true, MaxTokens: 5}},
	} {
		t.Run(name, func(t *testing.T) {
			got := ReadHead([]byte(c.body))
			got.Unbounded = "" // has a test of its own
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
}

// The head outlives the body, whose buffer may be used again.
func TestHeadKeepsNoBody(t *testing.T) {
	body := []byte(`{"model":"gpt-4o","prompt":{"id":"pmpt_1"},"tools":[{"container":"cntr_1"}]}`)
	h := ReadHead(body)
	clear(body)
	if h.Model != "gpt-4o" || !slices.Equal(h.References, []Reference{{"prompt.id", Prompts, "pmpt_1"}, {"container", Containers, "cntr_1"}}) {
		t.Errorf("%+v", h)
	}
}

// The standard library decodes the body whole, and so says what the head must be.
func FuzzReadHead(f *testing.F) {
	for _, s := range []string{`{"model":"a","model":"b","input":[{"file_id":"x"}]}`, `{"mod\u0065l":"a"}`,
		`{"model":"a","x":`, `{"tools":[{"container":{"file_ids":["a"]}}]}`, `{"input":"\\","file_id":"\""}`,
		`{"input":[{"a\\":{"file\u005fid":"x"}}]}`, `{"input":[{"metadata":{"a":"}"},"file_id":"x"}]}`,
		`{"messages":[{"content":[{"type":"text"},{"type":"image_url"}]}],"n":2,"tools":[{"type":"function"}]}`, `{"ty\u0070e":1,"prediction":{}}`, strings.Repeat(`{"input":[`, 100), `[{}]`, ``} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		before := bytes.Clone(body)
		h := ReadHead(body)
		if !bytes.Equal(before, body) {
			t.Error("the body changed")
		}
		var want map[string]any
		if json.Unmarshal(body, &want) != nil || want == nil {
			if h.Readable {
				t.Errorf("%q is readable", body)
			}
			return
		}
		r := new(headReader)
		r.broken(string(body))
		if byGJSON := r.done(true); !reflect.DeepEqual(h, byGJSON) {
			t.Errorf("%q:\n%+v, and gjson reads\n%+v", body, h, byGJSON)
		}
		model, _ := want["model"].(string)
		if !h.Readable || isASCII(model) && h.Model != model {
			t.Errorf("%q: %+v, want %q", body, h, model)
		}
		if pointsAtFile(want["input"]) && !slices.ContainsFunc(h.References, func(r Reference) bool { return r.Param == "file_id" }) {
			t.Errorf("%q: the file is not seen: %+v", body, h)
		}
		if h.Unbounded == "" && !isBounded(want) {
			t.Errorf("%q is bounded: %+v", body, h)
		}
	})
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= 0x80 })
}

// pointsAtFile walks a decoded value, as eachMember does not.
func pointsAtFile(v any) bool {
	switch v := v.(type) {
	case []any:
		return slices.ContainsFunc(v, pointsAtFile)
	case map[string]any:
		for name, value := range v {
			text, _ := value.(string)
			if _, labels := value.(map[string]any); labels && isOwn("input", name) {
				continue
			}
			if name == "file_id" && text != "" && !strings.HasPrefix(text, "cfile_") || pointsAtFile(value) {
				return true
			}
		}
	}
	return false
}

// isBounded says of a decoded body what headReader.limit does.
func isBounded(body map[string]any) bool {
	for name, v := range body {
		switch {
		case name == "modalities":
		case name == "messages", name == "input", name == "prompt":
			if !isTextual(v) {
				return false
			}
		case name == "tools":
			tools, isList := v.([]any)
			if !isList && v != nil || slices.ContainsFunc(tools, func(tool any) bool {
				m, _ := tool.(map[string]any)
				return m["type"] != "function" && m["type"] != "custom"
			}) {
				return false
			}
		case absent[name]:
			if v != nil && v != false && v != "" && v != 0.0 {
				return false
			}
		case !bounded[name]:
			return false
		}
	}
	return true
}

func isTextual(v any) bool {
	switch v := v.(type) {
	case []any:
		return !slices.ContainsFunc(v, func(part any) bool { return !isTextual(part) })
	case map[string]any:
		for name, value := range v {
			kind, isText := value.(string)
			if name == "type" && !(isText && slices.Contains(textual, kind)) || slices.Contains(media, name) && value != nil || !isTextual(value) {
				return false
			}
		}
	}
	return true
}

func BenchmarkReadHead(b *testing.B) {
	body := []byte(`{"model":"gpt-4o","messages":[{"role":"user","content":"` + strings.Repeat(`text\n`, 2<<20) + `"}]}`)
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		ReadHead(body)
	}
}
