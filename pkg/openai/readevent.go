package openai

import (
	"strings"

	"github.com/tidwall/gjson"
)

// CallerEvent is what an event of a caller asks for in a session. Of two members of one name both count.
type CallerEvent struct {
	Heads        []Head   // at its top, and in the response or the session that is in it
	Create       bool     // it asks for an answer
	Configures   bool     // it says how the session is to be, and nothing else
	Transcribers []string // the models that are to write down what is heard; "" for one that is not named
}

const (
	// createsResponse is the type of the event that asks for an answer.
	createsResponse = "response.create"
	// updatesSession and updatesTranscription are those of the events that say how a session is to be.
	updatesSession       = "session.update"
	updatesTranscription = "transcription_session.update"
)

// ReadCallerEvent reads an event.
func ReadCallerEvent(text []byte) CallerEvent {
	e := CallerEvent{Heads: []Head{ReadHead(text)}}
	doc, types := gjson.Parse(view(text)), 0
	e.transcribers(doc)
	doc.ForEach(func(key, value gjson.Result) bool {
		switch key.String() {
		case "type":
			types++
			e.Create = e.Create || value.Str == createsResponse
			e.Configures = types == 1 && (value.Str == updatesSession || value.Str == updatesTranscription)
		case "response", "session":
			if value.IsObject() {
				e.Heads = append(e.Heads, ReadHead([]byte(value.Raw)))
				e.transcribers(value)
			}
		}
		return true
	})
	return e
}

// transcribers notes the models that an event or a session names for what is heard. The older form has them at its top.
func (e *CallerEvent) transcribers(of gjson.Result) {
	r := new(headReader)
	within := func(t gjson.Result) {
		if !t.IsObject() {
			return // it is turned off
		}
		named := false
		r.eachOf(t, "model", func(model gjson.Result) {
			named = named || model.Type == gjson.String
			e.Transcribers = append(e.Transcribers, strings.Clone(model.Str))
		})
		if !named {
			e.Transcribers = append(e.Transcribers, "")
		}
	}
	r.eachOf(of, "input_audio_transcription", within)
	r.eachOf(of, "audio", func(audio gjson.Result) {
		r.eachOf(audio, "input", func(input gjson.Result) { r.eachOf(input, "transcription", within) })
	})
}

// AsksForResponse reports whether an event of a caller asks for an answer, whichever of two types in it the upstream takes.
func AsksForResponse(event []byte) (asks bool) {
	gjson.Parse(view(event)).ForEach(func(key, value gjson.Result) bool {
		asks = key.String() == "type" && value.Str == createsResponse
		return !asks
	})
	return asks
}
