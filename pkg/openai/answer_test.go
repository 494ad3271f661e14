package openai

import "testing"

func TestAnswer(t *testing.T) {
	e := Error{Message: `"used" up`, Type: "rate_limit_error", Code: "rate_limit_exceeded"}
	for said, want := range map[string]string{
		`{"type":"response.create"}`: `{"type":"error","event_id":"event_1","status":429,"error":{"type":"rate_limit_error",` +
			`"code":"rate_limit_exceeded","message":"\"used\" up","param":null,"event_id":null}}`,
		`{"event_id":"a\"b","stream_id":"s","type":"response.create"}`: `{"type":"error","event_id":"event_1","stream_id":"s","status":429,` +
			`"error":{"type":"rate_limit_error","code":"rate_limit_exceeded","message":"\"used\" up","param":null,"event_id":"a\"b"}}`,
		`{"event_id":7,"stream_id":{}}`: `{"type":"error","event_id":"event_1","status":429,"error":{"type":"rate_limit_error",` +
			`"code":"rate_limit_exceeded","message":"\"used\" up","param":null,"event_id":null}}`,
	} {
		if got := string(e.Answer([]byte(said), "event_1", 429)); got != want {
			t.Errorf("%s: %s", said, got)
		}
	}
}

func TestAsksForResponse(t *testing.T) {
	for event, want := range map[string]bool{
		`{"type":"response.create"}`:                                     true,
		`{"type":"session.update","type":"response.create"}`:             true,
		`{"type":"response.create","type":"session.update"}`:             true,
		`{"t\u0079pe":"response\u002ecreate"}`:                           true,
		`{"type":"session.update","session":{"type":"response.create"}}`: false,
		`{"type":"response.cancel"}`:                                     false,
		`["response.create"]`:                                            false,
		``:                                                               false,
	} {
		if got := AsksForResponse([]byte(event)); got != want {
			t.Errorf("%s: %v", event, got)
		}
	}
}
