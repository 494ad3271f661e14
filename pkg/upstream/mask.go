package upstream

import (
	"strings"

	"openai-api-proxy/pkg/proxy"
)

// Masker returns a function that replaces every given secret in a text by its masked form. It is used on the bodies of
// failures, where upstreams like to repeat what they were sent.
func Masker(secrets []proxy.Secret) func([]byte) []byte {
	pairs := make([]string, 0, 2*len(secrets))
	for _, s := range secrets {
		if !s.IsZero() {
			pairs = append(pairs, s.Reveal(), s.Masked())
		}
	}
	replacer := strings.NewReplacer(pairs...) // builds its trie at the first use
	return func(body []byte) []byte { return []byte(replacer.Replace(string(body))) }
}
