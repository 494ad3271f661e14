package openai

import (
	"math"
	"slices"
	"strings"

	"github.com/tidwall/gjson"
)

// bounded are the members of which is known that they add no tokens beyond those of their own text and of the bounds on
// the output. Whoever must have a bound cannot accept others: what they mean is for the upstream to say, and it may be a
// search of the web.
var bounded = map[string]bool{
	"model": true, "messages": true, "input": true, "prompt": true, "instructions": true, "suffix": true, "echo": true,
	"stream": true, "stream_options": true, "max_tokens": true, "max_completion_tokens": true, "max_output_tokens": true,
	"n": true, "best_of": true, "temperature": true, "top_p": true, "stop": true, "presence_penalty": true,
	"frequency_penalty": true, "logit_bias": true, "logprobs": true, "top_logprobs": true, "user": true,
	"safety_identifier": true, "prompt_cache_key": true, "prompt_cache_retention": true, "seed": true,
	"response_format": true, "text": true, "tools": true, "tool_choice": true, "parallel_tool_calls": true,
	"functions": true, "function_call": true, "metadata": true, "store": true, "reasoning_effort": true, "reasoning": true,
	"verbosity": true, "truncation": true, "include": true, "dimensions": true, "encoding_format": true,
	"service_tier": true, "max_tool_calls": true, "top_k": true, "min_p": true, "repetition_penalty": true,
}

// absent are those that add nothing while they are null, false or empty, and otherwise something without a bound.
var absent = map[string]bool{"background": true, "previous_response_id": true, "conversation": true, "prediction": true,
	"web_search_options": true, "audio": true}

// textual are the types of the parts of an input whose tokens are no more than their bytes.
var textual = []string{"text", "input_text", "output_text", "refusal", "message", "function", "function_call",
	"function_call_output", "custom", "custom_tool_call", "custom_tool_call_output", "reasoning", "reasoning_text",
	"summary_text"}

// media are members that point at something, or hold it, whose tokens have nothing to do with the bytes given here.
var media = []string{"image_url", "image", "input_audio", "audio", "file", "file_id", "file_url", "file_data"}

// mostMembers is how many members of a body are told apart; real ones have less than half as many.
const mostMembers = 64

// first reports whether no member before had that name.
func (r *headReader) first(name string) bool {
	return !slices.Contains(r.names[:min(r.count, usualMembers)], name) && !slices.Contains(r.more, name)
}

// limit notes what a member says of the tokens that the request can use at most.
func (r *headReader) limit(name string, value gjson.Result) {
	if r.head.Unbounded == "" {
		if !r.first(name) || r.count == mostMembers {
			r.unbounded(name) // parsers differ in which of two they take
		} else if r.count++; r.count <= usualMembers {
			r.names[r.count-1] = name
		} else {
			r.more = append(r.more, name)
		}
	}
	switch name {
	case "n", "best_of":
		r.choices(name, value)
	case "prompt":
		r.prompts(value)
		r.parts(name, value)
	case "messages", "input":
		r.parts(name, value)
	case "tools":
		r.tools(value)
	case "modalities":
		if strings.Contains(value.Raw, "audio") || strings.Contains(value.Raw, `\`) {
			r.unbounded(name)
		}
	default:
		if !bounded[name] && !(absent[name] && !truthy(value)) {
			r.unbounded(name)
		}
	}
}

// unbounded keeps the first reason.
func (r *headReader) unbounded(name string) {
	if r.head.Unbounded != "" {
		return
	}
	const longest = 40 // it is shown to the caller
	r.head.Unbounded = strings.Clone(name)
	if len(name) > longest || name == "" {
		r.head.Unbounded = "body"
	}
}

// choices multiplies: of n and best_of the larger holds, and each prompt has its own.
func (r *headReader) choices(name string, value gjson.Result) {
	switch {
	case value.Type == gjson.Null:
	case value.Type == gjson.Number && value.Num <= mostTokens:
		r.each = max(r.each, int64(math.Ceil(value.Num)))
	default:
		r.unbounded(name)
	}
}

// prompts counts those of a completion: a text, some texts, the tokens of one, or the tokens of some.
func (r *headReader) prompts(value gjson.Result) {
	if !value.IsArray() {
		return
	}
	var n int64
	value.ForEach(func(_, prompt gjson.Result) bool {
		if prompt.Type != gjson.Number {
			n++
		}
		return true
	})
	r.asked = max(n, 1)
}

// parts looks at the types of the parts of an input, at any depth, and counts the bytes of media in it.
func (r *headReader) parts(top string, value gjson.Result) {
	if !value.IsObject() && !value.IsArray() {
		return
	}
	eachMember(value.Raw, func(name, rest string) bool {
		switch {
		case name == "type":
			if kind, ok := plainText(rest); !ok || !slices.Contains(textual, kind) {
				r.unbounded(top)
			}
		case slices.Contains(media, name) && !strings.HasPrefix(rest, "null"):
			r.unbounded(top)
		}
		if name == "url" || name == "data" || slices.Contains(media, name) {
			if text, ok := plainText(rest); ok && (name == "data" || strings.HasPrefix(text, "data:")) {
				r.head.Media += int64(len(text))
			}
		}
		return true
	})
}

// plainText is the string at the beginning of rest, as it is written.
func plainText(rest string) (string, bool) {
	text, isText := strings.CutPrefix(rest, `"`)
	if !isText {
		return "", false
	}
	return text[:stringEnd(text)], true
}

// tools may be the caller's own functions only: what the upstream's do is not in its hand.
func (r *headReader) tools(value gjson.Result) {
	if value.Type == gjson.Null {
		return
	}
	own := value.IsArray()
	value.ForEach(func(_, tool gjson.Result) bool {
		kinds := 0
		tool.ForEach(func(key, kind gjson.Result) bool {
			if key.String() == "type" {
				kinds++
				own = own && (kind.Str == "function" || kind.Str == "custom")
			}
			return true
		})
		own = own && kinds == 1
		return true
	})
	if !own {
		r.unbounded("tools")
	}
}
