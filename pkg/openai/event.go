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
}

func (k kind) and(other kind) kind { return kind{k.ends || other.ends, k.fails || other.fails} }

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

// carriesOutput reports whether an event has a piece of text or of arguments. Those with a type repeat at the end of a
// text all of it; only their deltas are new.
func carriesOutput(data []byte, typed string) bool {
	if typed != "" {
		return strings.HasSuffix(typed, ".delta") && hasText(data, deltaName)
	}
	for _, name := range outputNames {
		if hasText(data, name) {
			return true
		}
	}
	return false
}

// hasText reports whether a member of that name is a string that is not empty.
func hasText(data, name []byte) bool {
	for {
		i := bytes.Index(data, name)
		if i < 0 {
			return false
		}
		data = data[i+len(name):]
		value, found := bytes.CutPrefix(afterSpace(data), []byte(":"))
		if !found {
			continue
		}
		value = afterSpace(value)
		if len(value) > 1 && value[0] == '"' && value[1] != '"' {
			return true
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
