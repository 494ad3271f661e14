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
	if s.model == "" {
		s.model = strings.Clone(gjson.Get(view(begin), "response.model").Str)
	}
	if u, told = sessionUsage(begin, end, path); told {
		s.usage.Input += u.Input
		s.usage.Cached += u.Cached
		s.usage.Output += u.Output
		s.usage.Reasoning += u.Reasoning
		s.usage.Basis = Exact
	}
	return u, told
}

// sessionUsage reads one usage. That of the Realtime API names its details in its own way.
func sessionUsage(begin, end []byte, path string) (Usage, bool) {
	if len(end) > 0 {
		return usageInTail(view(end))
	}
	from := gjson.Get(view(begin), path)
	u, ok := usageOf(from)
	if cached := from.Get("input_token_details.cached_tokens"); ok && u.Cached == 0 && cached.Num > 0 && cached.Num <= float64(u.Input) {
		u.Cached = int64(cached.Num)
	}
	return u, ok
}

// Usage is what was told of so far. It is partial when a response has begun of which no end was told.
func (s *Session) Usage() Usage {
	u := s.usage
	if s.begun > 0 {
		u.Basis = Partial
	}
	return u
}

// Model is the one that answered first, as the upstream names it; empty when it did not say.
func (s *Session) Model() string { return s.model }
