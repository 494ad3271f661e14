package upstream

import (
	"fmt"
	"strings"
	"testing"

	"openai-api-proxy/pkg/proxy"
)

func maskerOf(texts ...string) func([]byte) []byte {
	return Masker(func() (all []proxy.Secret) {
		for _, text := range texts {
			all = append(all, proxy.NewSecret(text))
		}
		return all
	})
}

func TestMasker(t *testing.T) {
	const key, longer, short = "sk-test-mask-000000000001", "longer-sk-test-mask-000000000001", "tiny"
	mask := maskerOf(key, longer, short, "")
	for text, want := range map[string]string{
		"":                           "",
		"nothing in it":              "nothing in it",
		key:                          "sk-...0001",
		"(" + key + ")":              "(sk-...0001)",
		key + key:                    "sk-...0001sk-...0001",
		"a " + longer + " b " + key:  "a lon...0001 b sk-...0001",
		`{"key":"` + key + `x"}`:     `{"key":"sk-...0001x"}`,
		key[:len(key)-1]:             key[:len(key)-1],
		"a tiny one":                 "a ... one",
		"x-" + key[3:]:               "x-" + key[3:],
		strings.Repeat(key+"\n", 3):  strings.Repeat("sk-...0001\n", 3),
		"\xff\xfe" + key + "\x00end": "\xff\xfesk-...0001\x00end",
	} {
		if got := string(mask([]byte(text))); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
}

// However many secrets there are, a body costs the same.
func BenchmarkMasker(b *testing.B) {
	for _, n := range []int{10, 50_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var texts []string
			for i := range n {
				texts = append(texts, fmt.Sprintf("sk-test-%032d", i))
			}
			mask := maskerOf(texts...)
			body := []byte(strings.Repeat("Incorrect API key provided. ", 500) + texts[n/2])
			mask(body)
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				mask(body)
			}
		})
	}
}
