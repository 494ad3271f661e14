package openai

import (
	"bytes"
	"strings"

	"github.com/tidwall/gjson"
)

// Told is what an event of the upstream says of a session.
type Told struct {
	Began   bool // a response
	Ended   bool // a response, whatever became of it
	Refused bool // something that the caller asked for; which is not said
	Used    bool // it tells of a usage
	Usage   Usage
	Model   string // the one that answered last, as the upstream names it; empty when it did not say
}

// Session reads what the events of a WebSocket session say of responses and their tokens: those of the Realtime API, and of
// Responses over a WebSocket.
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

// See reads an event, of a long one its beginning and its end.
func (s *Session) See(begin, end []byte) (t Told) {
	if !bytes.Contains(begin, typeName) {
		return t
	}
	typed := gjson.Get(view(begin), "type").Str
	path := usageAt[typed]
	t.Began, t.Ended, t.Refused = typed == "response.created", path == "response.usage", typed == "error"
	if t.Began {
		s.begun++
	}
	if t.Ended {
		s.begun = max(s.begun-1, 0)
	}
	if path == "" {
		return t
	}
	if model := gjson.Get(view(begin), "response.model").Str; model != "" {
		s.model = strings.Clone(model)
	}
	if len(end) > 0 {
		t.Usage, t.Used = usageInTail(view(end))
	} else {
		t.Usage, t.Used = usageOf(gjson.Get(view(begin), path).Raw)
	}
	if t.Used {
		s.add(t.Usage)
	}
	t.Model = s.model
	return t
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
