package upstream

import (
	"bytes"
	"strings"
	"sync"

	"openai-api-proxy/pkg/proxy"
)

// tailSize is how many bytes at the end of a secret it is looked up by: enough to be random in every key there is, so that
// hardly any two share them, while all of them begin alike.
const tailSize = 8

// Masker returns a function that replaces every given secret in a text by its masked form. It is used on the bodies of
// failures, where upstreams like to repeat what they were sent. The secrets are asked for at the first use, which for most
// configurations never comes. It costs one look-up for each byte of the text, however many secrets there are.
func Masker(secrets func() []proxy.Secret) func([]byte) []byte {
	index := sync.OnceValue(func() *masker { return newMasker(secrets()) })
	return func(text []byte) []byte { return index().mask(text) }
}

type masker struct {
	byTail map[[tailSize]byte][]proxy.Secret
	short  *strings.Replacer // of secrets that have no tail
}

func newMasker(secrets []proxy.Secret) *masker {
	m := &masker{byTail: make(map[[tailSize]byte][]proxy.Secret, len(secrets))}
	var short []string
	for _, s := range secrets {
		switch text := s.Reveal(); {
		case text == "":
		case len(text) < tailSize:
			short = append(short, text, s.Masked())
		default:
			tail := [tailSize]byte([]byte(text[len(text)-tailSize:]))
			m.byTail[tail] = append(m.byTail[tail], s)
		}
	}
	m.short = strings.NewReplacer(short...)
	return m
}

// mask walks over the ends of all windows; what was written out already is only looked at, so that of two secrets of which
// one ends the other the longer one goes.
func (m *masker) mask(text []byte) []byte {
	out := make([]byte, 0, len(text))
	written := 0 // of text
	for end := tailSize; end <= len(text); end++ {
		found := m.longest(text[written:end])
		if found.IsZero() {
			continue
		}
		out = append(out, text[written:end-len(found.Reveal())]...)
		out = append(out, found.Masked()...)
		written = end
	}
	out = append(out, text[written:]...)
	return []byte(m.short.Replace(string(out)))
}

// longest is the longest secret that the text ends with.
func (m *masker) longest(text []byte) (found proxy.Secret) {
	if len(text) < tailSize {
		return found
	}
	for _, s := range m.byTail[[tailSize]byte(text[len(text)-tailSize:])] {
		if len(s.Reveal()) > len(found.Reveal()) && bytes.HasSuffix(text, []byte(s.Reveal())) {
			found = s
		}
	}
	return found
}
