package openai

import (
	"fmt"
	"strings"
	"testing"
)

func TestUnbounded(t *testing.T) {
	for body, want := range map[string]string{
		`{"model":"m","messages":[{"role":"user","content":"Hi"}],"max_tokens":5,"temperature":0,"stream":true}`:                                     "",
		`{"messages":[{"role":"user","content":[{"type":"text","text":"\"type\":\"image_url\""}]}]}`:                                                 "",
		`{"messages":[{"role":"assistant","audio":null,"tool_calls":[{"type":"function","function":{"arguments":"{\"file_id\":1}"}}]}]}`:             "",
		`{"input":[{"type":"message","content":[{"type":"input_text","text":"x"}]},{"type":"function_call_output","output":"y"}]}`:                   "",
		`{"tools":[{"type":"function","function":{"parameters":{"type":"object","properties":{"image_url":{"type":"string"}}}}},{"type":"custom"}]}`: "",
		`{"tools":null,"background":false,"previous_response_id":null,"prediction":null,"conversation":""}`:                                          "",
		`{"modalities":["text"]}`: "",
		`{"messages":[{"content":[{"type":"image_url","image_url":{"url":"https://x.test/a.png"}}]}]}`: "messages",
		`{"messages":[{"content":[{"type":"input\u005fimage"}]}]}`:                                     "messages",
		`{"messages":[{"content":[{"t\u0079pe":"input_file"}]}]}`:                                      "messages",
		`{"messages":[{"content":[{"image_\u0075rl":"x"}]}]}`:                                          "messages",
		`{"messages":[{"role":"assistant","audio":{"id":"audio_1"}}]}`:                                 "messages",
		`{"input":[{"type":"item_reference","id":"msg_1"}]}`:                                           "input",
		`{"input":[{"type":null}]}`:                                                                    "input",
		`{"prompt":{"id":"pmpt_1","variables":{"a":{"type":"input_file","file_id":"f"}}}}`:             "prompt",
		`{"tools":[{"type":"web_search"}]}`:                                                            "tools",
		`{"tools":[{"type":"function","type":"web_search"}]}`:                                          "tools",
		`{"tools":[{}]}`:                                  "tools",
		`{"tools":{"type":"function"}}`:                   "tools",
		`{"web_search_options":{}}`:                       "web_search_options",
		`{"background":true}`:                             "background",
		`{"previous_response_id":"resp_1"}`:               "previous_response_id",
		`{"prediction":{"type":"content","content":"x"}}`: "prediction",
		`{"modalities":["text","audio"]}`:                 "modalities",
		`{"n":"3"}`:                                       "n",
		`{"max_tokens":1,"max_tokens":9}`:                 "max_tokens",
		`{"max_tokens":1,"max_\u0074okens":9}`:            "max_tokens",
		`{"something_new":1}`:                             "something_new",
		`{"` + strings.Repeat("x", 50) + `":1}`:           "body",
	} {
		if got := ReadHead([]byte(body)).Unbounded; got != want {
			t.Errorf("%s: %q, want %q", body, got, want)
		}
	}
	var many []string
	for i := range 2 * mostMembers {
		many = append(many, fmt.Sprintf(`"%c%d":1`, 'a'+i%26, i))
	}
	if ReadHead([]byte("{"+strings.Join(many, ",")+"}")).Unbounded == "" {
		t.Error("many members are bounded")
	}
}

func TestChoices(t *testing.T) {
	for body, want := range map[string]int64{
		`{}`: 0, `{"n":null}`: 0, `{"n":1}`: 0, `{"n":3}`: 3, `{"n":2.5}`: 3, `{"n":-5}`: 0, `{"n":2,"best_of":5}`: 5,
		`{"prompt":"a"}`: 0, `{"prompt":["a","b"]}`: 2, `{"prompt":["a","b"],"n":3}`: 6, `{"prompt":[1,2,3]}`: 0,
		`{"prompt":[[1,2],[3],[4]]}`: 3, `{"n":9e15,"prompt":["a","b"]}`: mostTokens,
	} {
		if got := ReadHead([]byte(body)).Choices; got != want {
			t.Errorf("%s: %d, want %d", body, got, want)
		}
	}
}

func TestMedia(t *testing.T) {
	for body, want := range map[string]int64{
		`{"messages":[{"content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]}]}`: 26,
		`{"messages":[{"content":[{"type":"image_url","image_url":{"url":"https://x.test/a.png"}}]}]}`:       0,
		`{"input":[{"content":[{"type":"input_image","image_url":"data:image/png;base64,AAAA"}]}]}`:          26,
		`{"messages":[{"content":[{"type":"input_audio","input_audio":{"data":"AAAAAA","format":"wav"}}]}]}`: 6,
		`{"messages":[{"content":"data:image/png;base64,AAAA"}]}`:                                            0,
	} {
		if got := ReadHead([]byte(body)).Media; got != want {
			t.Errorf("%s: %d, want %d", body, got, want)
		}
	}
}
