package openai

import (
	"bytes"
	"strings"

	"github.com/tidwall/gjson"
)

var (
	dataField = []byte("data:")
	nameField = []byte("event:")
	doneData  = []byte("[DONE]")
	usageName = []byte(`"usage"`)
	errorName = []byte(`"error"`)
	typeName  = []byte(`"type"`)
	deltaName = []byte(`"delta"`)
)

// outputNames are the members that carry output in an event of chat or completions. DeepSeek and OpenRouter think in
// members of their own.
var outputNames = [...][]byte{[]byte(`"content"`), []byte(`"arguments"`), []byte(`"text"`), []byte(`"refusal"`),
	[]byte(`"reasoning_content"`), []byte(`"reasoning"`)}

// kind says what an event means for its stream.
type kind struct {
	ends  bool // it is the stream's own last one
	fails bool // it tells of a failure
	early bool // by its type it is not the last one: what it shows may be the caller's, and no usage is known yet
}

func (k kind) and(other kind) kind {
	return kind{ends: k.ends || other.ends, fails: k.fails || other.fails}
}

// kinds are the types, and the names, of the events that mean anything. A failed response follows an error, or nothing
// does, so that an error alone is no proper end.
var kinds = map[string]kind{
	"response.completed":         {ends: true},
	"response.incomplete":        {ends: true},
	"response.failed":            {ends: true, fails: true},
	"image_generation.completed": {ends: true},
	"image_edit.completed":       {ends: true},
	"speech.audio.done":          {ends: true},
	"transcript.text.done":       {ends: true},
	"error":                      {fails: true},
}

// outputAt is where the piece of text or of arguments begins that an event carries; 0: it has none. Events with a type repeat
// at the end of a text all of it; only their deltas are new.
func outputAt(data []byte, typed string) int {
	if typed != "" {
		if !strings.HasSuffix(typed, ".delta") {
			return 0
		}
		return textAt(data, deltaName)
	}
	for _, name := range outputNames {
		if at := textAt(data, name); at > 0 {
			return at
		}
	}
	return 0
}

// textAt is where a string begins, behind its quote, that is a member of that name and not empty; 0: there is none.
func textAt(data, name []byte) int {
	for rest := data; ; {
		i := bytes.Index(rest, name)
		if i < 0 {
			return 0
		}
		rest = rest[i+len(name):]
		value, found := bytes.CutPrefix(afterSpace(rest), []byte(":"))
		if !found {
			continue
		}
		value = afterSpace(value)
		if len(value) > 1 && value[0] == '"' && value[1] != '"' {
			return len(data) - len(value) + 1
		}
	}
}

// truthy reports whether clients would take the value for an error.
func truthy(v gjson.Result) bool {
	switch v.Type {
	case gjson.String:
		return v.Str != ""
	case gjson.Number:
		return v.Num != 0
	case gjson.True:
		return true
	default:
		return v.IsObject() || v.IsArray()
	}
}
