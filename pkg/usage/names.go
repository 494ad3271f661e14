package usage

import (
	"unicode/utf8"

	"openai-api-proxy/pkg/proxy"
)

const (
	// mostNames bounds the models that are counted by name. Their names come from callers, who could make up any
	// number.
	mostNames = 500
	// longestName bounds each of them, in bytes; fine-tuned models have the longest real ones, of about 100.
	longestName = 256
	// other counts the models that have no name of their own.
	other = "other"
)

// names are the models that are counted by name. A model earns its place with the first request for it that is answered
// 2xx, or 101 for a session, for then it exists; from then on its failures count for it too. Until then, and when all places are taken, its
// requests count for "other".
type names map[string]bool

// of is the name under which the request counts for its model; empty when it names none.
func (n names) of(rec *proxy.Record) string {
	switch {
	case rec.Model == "" || n[rec.Model]:
		return rec.Model
	case rec.Status >= 101 && rec.Status < 300 && n.admit(rec.Model):
		return rec.Model
	default:
		return other
	}
}

// admit gives the model a place if there is one.
func (n names) admit(model string) bool {
	if len(n) >= mostNames || len(model) > longestName || !utf8.ValidString(model) { // what is remembered of it is valid
		return false
	}
	n[model] = true
	return true
}
