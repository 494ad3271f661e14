package openai

import (
	"math"
	"slices"
	"strings"

	"github.com/tidwall/gjson"
)

// ReadHead reads a JSON request body in one pass over its top level. Of a member that is given twice the last one
// counts, as it does for most parsers; a reference counts wherever it stands. An unfinished body tells what it can.
func ReadHead(body []byte) Head {
	text := view(body)
	var r headReader
	if !members(text, func(name, value string) { r.member(name, parsed(value)) }) {
		return brokenHead(text)
	}
	return r.done(true)
}

// usualMembers is how many members most bodies have at most. A frame of the stack grows with it, and stacks are kept
// for as long as a stream is open.
const usualMembers = 8

func brokenHead(text string) Head {
	var r headReader
	r.broken(text)
	return r.done(false)
}

// headReader is a head that is being read.
type headReader struct {
	head   Head
	models int
	bounds [3]int64 // by the names that a bound has: where two are given, either may be the one that holds
	each   int64    // answers to each prompt
	asked  int64    // prompts

	names [usualMembers]string // of the first members
	more  []string             // of those that follow
	count int                  // of the members so far, as far as they are told apart

	referred map[Reference]bool // those of the head
	crowded  bool               // there were too many
}

// done is the head of a body that has been read.
func (r *headReader) done(whole bool) Head {
	r.head.Readable = whole && !r.crowded
	r.head.Doubled = r.models > 1
	r.head.MaxTokens = slices.Max(r.bounds[:])
	if all := float64(max(r.each, 1)) * float64(max(r.asked, 1)); all > 1 {
		r.head.Choices = int64(min(all, mostTokens))
	}
	return r.head
}

// broken reads of a body that is no document what can be read.
func (r *headReader) broken(text string) {
	if doc := gjson.Parse(text); doc.IsObject() {
		doc.ForEach(func(key, value gjson.Result) bool {
			r.member(key.String(), value)
			return true
		})
	}
}

func (r *headReader) member(name string, value gjson.Result) {
	switch name {
	case "model":
		r.models++
		r.head.Model = ""
		if value.Type == gjson.String {
			r.head.Model = strings.Clone(value.Str) // the head outlives the body
		}
	case "stream":
		r.head.Stream = value.Bool()
	case "stream_options":
		r.head.IncludeUsage = includesUsage(value)
	case "background":
		r.head.Background = value.Bool()
	case "store":
		if value.Type != gjson.Null {
			r.head.Store = choice(value.Bool())
		}
	case "include":
		r.head.Sealed = r.head.Sealed || strings.Contains(value.Raw, "encrypted_content")
	case "service_tier":
		r.head.Tier = strings.Clone(value.String()) // of null it is empty
	case "modalities":
		r.head.Sound = r.head.Sound || strings.Contains(value.Raw, "audio") || strings.Contains(value.Raw, `\`)
	case "max_tokens":
		r.bounds[0] = bound(value)
	case "max_completion_tokens":
		r.bounds[1] = bound(value)
	case "max_output_tokens":
		r.bounds[2] = bound(value)
	}
	r.reference(name, value)
	r.limit(name, value)
}

// bound is a number of tokens; what is none, or not above zero, bounds nothing.
func bound(v gjson.Result) int64 {
	if v.Type != gjson.Number || !(v.Num > 0) {
		return 0
	}
	return int64(min(math.Ceil(v.Num), mostTokens))
}

func includesUsage(options gjson.Result) (asked bool) {
	if !options.IsObject() {
		return false
	}
	options.ForEach(func(key, value gjson.Result) bool {
		if key.String() == "include_usage" {
			asked = value.Bool()
		}
		return true
	})
	return asked
}
