package app_test

import (
	"fmt"
	"testing"
)

// The model that writes down what a session hears is one of the client's like any other, in every form in which it can be named.
func TestModelsOfTranscriptions(t *testing.T) {
	mock, url := upstream(t)
	r := start(t, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEY": keyNumber(1), "CLIENT_TOKENS": fmt.Sprintf(
		`[{"id":"models","token":%q,"models":["gpt-realtime","gpt-4o-transcribe"]},{"id":"any","token":%q}]`, tokenOf("models"), tokenOf("any"))})
	const denied, unnamed = "this API key may not use the model", "model must be named: this API key is limited to certain models"
	const unwritten = "the model of the transcription must be named: this API key is limited to certain models"
	const transcription = "/v1/realtime?intent=transcription"
	newer := func(t string) string {
		return `{"type":"session.update","session":{"type":"transcription","audio":{"input":{"transcription":` + t + `}}}}`
	}
	older := func(t string) string {
		return `{"type":"transcription_session.update","session":{"input_audio_transcription":` + t + `}}`
	}
	const sound, ask = `{"type":"input_audio_buffer.append","audio":"AAAA"}`, `{"type":"response.create"}`
	for name, c := range map[string]struct {
		path   string
		says   []string
		reason string // "": none, the last is answered or ignored
	}{
		"its own":            {realtime, []string{newer(`{"model":"gpt-4o-transcribe"}`), ask}, ""},
		"turned off":         {realtime, []string{newer(`null`), ask}, ""},
		"another":            {realtime, []string{newer(`{"model":"whisper-1"}`)}, denied},
		"another, older":     {realtime, []string{older(`{"model":"whisper-1"}`)}, denied},
		"at the top":         {realtime, []string{`{"type":"session.update","input_audio_transcription":{"model":"whisper-1"}}`}, denied},
		"the second":         {realtime, []string{newer(`{"model":"gpt-4o-transcribe","model":"whisper-1"}`)}, denied},
		"the first":          {realtime, []string{newer(`{"model":"whisper-1","model":"gpt-4o-transcribe"}`)}, denied},
		"in escapes":         {realtime, []string{`{"type":"session.update","session":{"aud\u0069o":{"input":{"transcription":{"model":"whisper\u002d1"}}}}}`}, denied},
		"in two sessions":    {realtime, []string{`{"type":"session.update","session":{"audio":{"input":{"transcription":{"model":"whisper-1"}}}},"session":{}}`}, denied},
		"not named":          {realtime, []string{newer(`{"language":"de"}`)}, unwritten},
		"no name":            {realtime, []string{newer(`{"model":7}`)}, unwritten},
		"a session for it":   {transcription, []string{newer(`{"model":"gpt-4o-transcribe"}`), sound, `{"type":"mock.echo"}`}, ""},
		"older":              {transcription, []string{older(`{"model":"gpt-4o-transcribe"}`), sound, `{"type":"mock.echo"}`}, ""},
		"of another":         {transcription, []string{newer(`{"model":"whisper-1"}`)}, denied},
		"before it is named": {transcription, []string{newer(`null`), sound}, unnamed},
		"asked for more":     {transcription, []string{newer(`{"model":"gpt-4o-transcribe"}`), ask}, unnamed},
		"turned into another": {transcription, []string{newer(`{"model":"gpt-4o-transcribe"}`),
			`{"type":"session.update","session":{"type":"realtime","model":"gpt-4o"}}`}, denied},
	} {
		s := r.socket(t, c.path, tokenOf("models"))
		for _, text := range c.says {
			s.say(text)
		}
		if c.reason == "" {
			if err := s.until("response.done", "mock.echo"); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if code, reason := s.ended(); code != 1008 || reason != c.reason {
			t.Errorf("%s: closed with %d %q", name, code, reason)
		}
	}
	s := r.socket(t, transcription, tokenOf("any"))
	s.say(newer(`{"model":"whisper-1"}`))
	s.hear("session.updated")
	for _, path := range []string{"/v1/realtime", transcription + "&intent=transcription", "/v1/realtime?intent=other"} {
		if _, resp := r.dial(t, path, tokenOf("models")); resp.StatusCode != 400 {
			t.Errorf("%s: %d", path, resp.StatusCode)
		}
	}
	if mock.Stats()[keyNumber(1)].Requests == 0 {
		t.Error("nothing came to the upstream")
	}
}
