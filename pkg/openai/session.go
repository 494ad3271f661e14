package openai

import (
	"bytes"
	"strings"

	"github.com/tidwall/gjson"
)

// Session reads what the events of a WebSocket session say of tokens: those of the Realtime API, and of Responses over a
// WebSocket.
type Session struct {
	usage Usage
	begun int64 // responses whose end has not come
	model string
}

// usageAt says which events tell of a usage, and where in them it stands.
var usageAt = map[string]string{
	"response.done":       "response.usage",
	"response.completed":  "response.usage",
	"response.incomplete": "response.usage",
	"response.failed":     "response.usage",
	"conversation.item.input_audio_transcription.completed": "usage",
}

// See reads an event, of a long one its beginning and its end. It reports the usage that the event tells of, if it does.
func (s *Session) See(begin, end []byte) (u Usage, told bool) {
	if !bytes.Contains(begin, typeName) {
		return Usage{}, false
	}
	typed := gjson.Get(view(begin), "type").Str
	if typed == "response.created" {
		s.begun++
	}
	path := usageAt[typed]
	if path == "" {
		return Usage{}, false
	}
	if path == "response.usage" {
		s.begun = max(s.begun-1, 0)
	}
	if model := gjson.Get(view(begin), "response.model").Str; model != "" {
		s.model = strings.Clone(model)
	}
	if len(end) > 0 {
		u, told = usageInTail(view(end))
	} else {
		u, told = usageOf(gjson.Get(view(begin), path).Raw)
	}
	if told {
		s.add(u)
	}
	return u, told
}

func (s *Session) add(u Usage) {
	t := &s.usage
	t.Input, t.Cached, t.Output, t.Reasoning = t.Input+u.Input, t.Cached+u.Cached, t.Output+u.Output, t.Reasoning+u.Reasoning
	t.Written, t.AudioIn, t.AudioOut = t.Written+u.Written, t.AudioIn+u.AudioIn, t.AudioOut+u.AudioOut
	t.ImageIn, t.ImageOut, t.Basis = t.ImageIn+u.ImageIn, t.ImageOut+u.ImageOut, Exact
}

// Usage is what was told of so far. It is partial when a response has begun of which no end was told.
func (s *Session) Usage() Usage {
	u := s.usage
	if s.begun > 0 {
		u.Basis = Partial
	}
	return u
}

// Model is the one that answered last, as the upstream names it; empty when it did not say.
func (s *Session) Model() string { return s.model }
