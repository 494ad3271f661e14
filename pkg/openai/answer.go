package openai

import (
	"bytes"
	"encoding/json"

	"github.com/tidwall/gjson"
)

// longestName bounds the name that a caller gives to an event, as the Realtime API does.
const longestName = 512

// Answer is an error as the event of a session that answers what the caller said: in the form of the Realtime API, with the
// status that the errors of Responses over a WebSocket have, and with the names by which the caller knows what it said. id is the
// event's own.
func (e Error) Answer(said []byte, id string, status int) []byte {
	type inner struct {
		Type    string  `json:"type"`
		Code    *string `json:"code"`
		Message string  `json:"message"`
		Param   *string `json:"param"`
		EventID *string `json:"event_id"`
	}
	name := func(path string) *string {
		if n := gjson.Get(view(said), path); n.Type == gjson.String && len(n.Str) <= longestName {
			return orNull(n.Str)
		}
		return nil
	}
	var event bytes.Buffer
	to := json.NewEncoder(&event)
	to.SetEscapeHTML(false)
	_ = to.Encode(struct { // strings always encode
		Type     string  `json:"type"`
		EventID  string  `json:"event_id"`
		StreamID *string `json:"stream_id,omitempty"`
		Status   int     `json:"status"`
		Error    inner   `json:"error"`
	}{"error", id, name("stream_id"), status, inner{e.Type, orNull(e.Code), e.Message, orNull(e.Param), name("event_id")}})
	return bytes.TrimSuffix(event.Bytes(), []byte("\n"))
}
