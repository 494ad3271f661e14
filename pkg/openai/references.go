package openai

import (
	"slices"
	"strings"

	"github.com/tidwall/gjson"
)

// reference notes what a member of the top level points at.
func (r *headReader) reference(name string, value gjson.Result) {
	switch name {
	case "previous_response_id":
		if value.Type == gjson.String && value.Str != "" {
			r.refer(name)
		}
	case "conversation":
		if value.Type == gjson.String && value.Str != "" || value.IsObject() && len(value.Map()) > 0 {
			r.refer(name)
		}
	case "prompt":
		r.referByPrompt(value)
		r.referWithin(name, value)
	case "metadata", "response_format", "text":
		// These are the caller's own names, and examples of what the model may write.
	default:
		r.referTo(name, name, value.Raw)
		r.referWithin(name, value)
	}
}

// referByPrompt notes a prompt that is stored. An id that a second one replaces counts too: parsers differ.
func (r *headReader) referByPrompt(prompt gjson.Result) {
	if !prompt.IsObject() {
		return
	}
	prompt.ForEach(func(key, value gjson.Result) bool {
		if key.String() == "id" && value.String() != "" {
			r.refer("prompt.id")
		}
		return true
	})
}

// referWithin notes the references at any depth of a member. Most bodies have none, which the text shows without a look
// at its structure; a name in escapes does not show.
func (r *headReader) referWithin(top string, value gjson.Result) {
	if !value.IsObject() && !value.IsArray() {
		return
	}
	for _, hint := range [...]string{"file_id", "vector_store_ids", "container", `\u`} {
		if strings.Contains(value.Raw, hint) {
			eachMember(value.Raw, func(name, rest string) { r.referTo(top, name, rest) })
			return
		}
	}
}

// referTo notes the reference that a member makes, if its name is that of one and its value not null or empty. The
// value is at the beginning of rest. A container is named by a tool only: elsewhere, and as an object, the word has
// other uses.
func (r *headReader) referTo(top, name, rest string) {
	if !saysSomething(rest) {
		return
	}
	switch {
	case name == "file_id" || name == "file_ids":
		r.refer("file_id")
	case name == "vector_store_ids":
		r.refer("vector_store_ids")
	case name == "container_id", name == "container" && top == "tools" && rest[0] == '"':
		r.refer("container")
	}
}

func (r *headReader) refer(name string) {
	if !slices.Contains(r.head.References, name) {
		r.head.References = append(r.head.References, name)
	}
}

// saysSomething reports whether a value is a string or a list that is not empty.
func saysSomething(value string) bool {
	switch {
	case strings.HasPrefix(value, `"`):
		return !strings.HasPrefix(value, `""`)
	case strings.HasPrefix(value, "["):
		return !strings.HasPrefix(strings.TrimLeft(value[1:], space), "]")
	}
	return false
}

// eachMember calls see for every member at any depth, with its name and the text from its value on. It goes once from
// string to string, so that its cost is bounded by the text's length however deep that nests.
func eachMember(text string, see func(name, rest string)) {
	for {
		open := strings.IndexByte(text, '"')
		if open < 0 {
			return
		}
		text = text[open+1:]
		end := stringEnd(text)
		if end == len(text) {
			return
		}
		name := text[:end]
		text = strings.TrimLeft(text[end+1:], space)
		value, isName := strings.CutPrefix(text, ":")
		if !isName {
			continue
		}
		if strings.Contains(name, `\`) {
			name = gjson.Parse(`"` + name + `"`).Str
		}
		text = strings.TrimLeft(value, space)
		see(name, text)
	}
}
