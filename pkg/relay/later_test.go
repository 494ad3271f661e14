package relay

import (
	"testing"

	"openai-api-proxy/pkg/balancer"
)

// What a response in the background owes is read again as it was written, whatever its model is called: by this version and, if
// the name is an ordinary one, as versions before wrote it.
func TestDebtIsReadAsWritten(t *testing.T) {
	for _, model := range []string{"", "gpt-4o-mini", "-", "ft:gpt-4o:my-org::abc", "my own model", " ", " x ", "%s", `"`, `"x"`, "`x`", `\`, "a\nb", "a\tb", "a\x00b",
		"\xff", "模型", "模型 二"} {
		want := debt{client: balancer.Need{Tokens: 1, NanoUSD: 2}, key: balancer.Need{Tokens: 3, NanoUSD: 4}, input: 5, output: 6, cost: 7, model: model}
		if got, ok := readDebt(want.object("resp_1").Account); !ok || got != want {
			t.Errorf("%q: %v, %+v, written %q", model, ok, got, want.object("resp_1").Account)
		}
	}
	for text, model := range map[string]string{"1 2 3 4 5 6 7 gpt-4o": "gpt-4o", "1 2 3 4 5 6 7 -": "", "1 2 3 4 5 6 7 my own model": "my own model"} {
		if got, ok := readDebt(text); !ok || got.model != model || got.cost != 7 {
			t.Errorf("%q: %v, %+v", text, ok, got)
		}
	}
	if got := (debt{model: "gpt-4o"}).object("resp_1").Account; got != "0 0 0 0 0 0 0 gpt-4o" {
		t.Errorf("%q is not read by versions before", got)
	}
	for _, text := range []string{"", "org-a", "1 2 3 4 5 6 7", "1 2 3 4 5 6 x gpt-4o", "1 2 3 4 5 6"} {
		if got, ok := readDebt(text); ok {
			t.Errorf("%q is read as %+v", text, got)
		}
	}
}
