package proxy

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode/utf8"
)

// AppendText appends a string of JSON, as encoding/json writes it when HTML does not matter. Nearly all strings need no
// escapes.
func AppendText(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			return appendEscaped(b, s)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

func appendEscaped(b []byte, s string) []byte {
	var text bytes.Buffer
	to := json.NewEncoder(&text)
	to.SetEscapeHTML(false)
	_ = to.Encode(strings.Clone(s)) // no string fails. What is encoded goes to the heap: the copy alone
	return append(b, bytes.TrimSuffix(text.Bytes(), []byte("\n"))...)
}
