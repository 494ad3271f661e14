package openai

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

func TestSession(t *testing.T) {
	var s Session
	for _, c := range []struct {
		event string
		want  Usage
		told  string
	}{
		{`{"type":"session.created","session":{"model":"gpt-realtime"}}`, Usage{}, ""},
		{`{"type":"response.created","response":{}}`, Usage{}, "began"},
		{`{"type":"response.output_text.delta","delta":"{\"usage\":{\"input_tokens\":9}}"}`, Usage{}, ""},
		{`{"type":"response.done","response":{"model":"gpt-realtime","output":[],"usage":{"total_tokens":30,"input_tokens":10,"output_tokens":20,
			"input_token_details":{"text_tokens":6,"audio_tokens":4,"cached_tokens":8},"output_token_details":{"text_tokens":20}}}}`,
			Usage{Input: 10, Cached: 8, Output: 20, AudioIn: 4, Basis: Exact}, "ended used"},
		{`{"type":"conversation.item.input_audio_transcription.completed","transcript":"hi","usage":{"type":"tokens","input_tokens":5,"output_tokens":2}}`,
			Usage{Input: 5, Output: 2, Basis: Exact}, "used"},
		{`{"type":"conversation.item.input_audio_transcription.completed","usage":{"type":"duration","seconds":4}}`, Usage{}, ""},
		{`{"type":"response.created","response":{}}`, Usage{}, "began"},
		{`{"type":"response.completed","response":{"usage":{"input_tokens":1,"input_tokens_details":{"cached_tokens":1},"output_tokens":2,
			"output_tokens_details":{"reasoning_tokens":2}}}}`, Usage{Input: 1, Cached: 1, Output: 2, Reasoning: 2, Basis: Exact}, "ended used"},
		{`{"type":"response.done","response":{"status":"cancelled","usage":null}}`, Usage{}, "ended"},
		{`{"type":"error","error":{"code":"conversation_already_has_active_response"}}`, Usage{}, "refused"},
		{`no event`, Usage{}, ""},
	} {
		told := s.See([]byte(c.event), nil)
		var said []string
		for name, is := range map[string]bool{"began": told.Began, "ended": told.Ended, "refused": told.Refused, "used": told.Used} {
			if is {
				said = append(said, name)
			}
		}
		slices.Sort(said)
		if told.Usage != c.want || strings.Join(said, " ") != c.told {
			t.Errorf("%s: %+v", c.event, told)
		}
	}
	if want := (Usage{Input: 16, Cached: 9, Output: 24, Reasoning: 2, AudioIn: 4, Basis: Exact}); s.Usage() != want || s.Model() != "gpt-realtime" {
		t.Errorf("in all %+v of %q", s.Usage(), s.Model())
	}
	s.See([]byte(`{"type":"response.created"}`), nil)
	if s.Usage().Basis != Partial {
		t.Error("a response whose end is not told counts as known")
	}
	long := `{"type":"response.done","response":{"output":[{"transcript":"` + strings.Repeat("la ", 40_000) + `"}],"usage":{"input_tokens":7,"output_tokens":9}}}`
	f := &Frames{See: func(begin, end []byte) { s.See(begin, end) }}
	_, _ = f.Write(wire(opText, true, false, []byte(long)))
	if want := (Usage{Input: 23, Cached: 9, Output: 33, Reasoning: 2, AudioIn: 4, Basis: Exact}); s.Usage() != want {
		t.Errorf("after a long event %+v", s.Usage())
	}
	end := []byte(callersUsage + `,"usage":null}}`)
	if told := s.See([]byte(`{"type":"response.failed","response":{"instructions":"`), end); told.Used || !told.Ended {
		t.Errorf("of a long one that failed %+v", told)
	}
}

func TestSubprotocols(t *testing.T) {
	tokens, rest := Subprotocols(http.Header{"Sec-Websocket-Protocol": {"realtime, openai-insecure-api-key.sk-test-1,openai-organization.o",
		" openai-project.p , openai-beta.realtime-v1,"}})
	if !slices.Equal(tokens, []string{"sk-test-1"}) || !slices.Equal(rest, []string{"realtime", "openai-beta.realtime-v1"}) {
		t.Errorf("%q %q", tokens, rest)
	}
}

func TestReadQueryHead(t *testing.T) {
	for query, want := range map[string]Head{
		"":                          {Readable: true, Stream: true},
		"model=gpt-realtime":        {Model: "gpt-realtime", Readable: true, Stream: true},
		"m%6fdel=a%2Fb&x=1":         {Model: "a/b", Readable: true, Stream: true},
		"model=a&model=b":           {Model: "b", Doubled: true, Readable: true, Stream: true},
		"model=a;model=b":           {Stream: true},
		"intent=transcription&a=%z": {Stream: true},
	} {
		if got := ReadQueryHead(query); got.Model != want.Model || got.Doubled != want.Doubled || got.Readable != want.Readable || !got.Stream {
			t.Errorf("%s: %+v", query, got)
		}
	}
}
