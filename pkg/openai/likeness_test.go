package openai

import (
	"fmt"
	"testing"
)

// TestLikeEventsMeanTheSame reads each event after each other one, and by itself.
func TestLikeEventsMeanTheSame(t *testing.T) {
	var all []string
	for _, text := range []string{`a`, ``, `type`, `error`, `usage`, `content`, `\"`, `\\`, `a\`, `\n\n`, `"`, `{`, `a","usage":{"prompt_tokens":1,"completion_tokens":2},"b":"c`,
		`a"}}],"error":{"message":"m"},"x":[{"y":{"z":"`} {
		all = append(all, fmt.Sprintf(`data: {"choices":[{"delta":{"content":"%s"}}],"usage":null}`, text),
			fmt.Sprintf(`data: {"choices":[{"delta":{"content":"%s"}}],"usage":{"prompt_tokens":3,"completion_tokens":4}}`, text),
			fmt.Sprintf(`data: {"choices":[{"delta":{"content":"%s":"text"}}]}`, text),
			fmt.Sprintf(`data: {"type":"response.output_text.delta","delta":"%s"}`, text),
			fmt.Sprintf(`data: {"delta":"%s","type":"%s"}`, text, text),
			fmt.Sprintf("event: error\ndata: {\"choices\":[{\"delta\":{\"content\":\"%s\"}}]}", text),
			fmt.Sprintf("event: response.completed\ndata: {\"choices\":[{\"delta\":{\"content\":\"%s\"}}]}", text))
	}
	alone := make([]*reading, len(all))
	for i, event := range all {
		tap := NewTap(events)
		tap.Write([]byte(event + "\n\n"))
		alone[i] = tap.final()
	}
	for i, first := range all {
		for j, second := range all {
			tap := NewTap(events)
			tap.Write([]byte(first + "\n\n" + second + "\n\n"))
			want := *alone[i]
			want.deltas += alone[j].deltas
			want.ended, want.failed = want.ended || alone[j].ended, want.failed || alone[j].failed
			if alone[j].known {
				want.usage, want.known = alone[j].usage, true
			}
			if got := *tap.final(); got != want {
				t.Errorf("%s\n%s\n%+v, want %+v", first, second, got, want)
			}
		}
	}
}
