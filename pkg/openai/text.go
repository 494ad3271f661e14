package openai

import (
	"strings"
	"unsafe"

	"github.com/tidwall/gjson"
)

// afterSpace is the text from its first token on. The library's TrimLeft makes a set of the characters at each call, which
// here is several for each event of a stream.
func afterSpace[T string | []byte](text T) T {
	for len(text) > 0 && (text[0] == ' ' || text[0] == '\n' || text[0] == '\r' || text[0] == '\t') {
		text = text[1:]
	}
	return text
}

// beforeSpace is the text up to the end of its last token.
func beforeSpace(text string) string {
	for n := len(text); n > 0 && (text[n-1] == ' ' || text[n-1] == '\n' || text[n-1] == '\r' || text[n-1] == '\t'); n-- {
		text = text[:n-1]
	}
	return text
}

// view is the bytes as a string without a copy: gjson copies what it is given as bytes, and a body may be tens of
// megabytes. What is read from the view must not outlive the bytes, nor they change while it is read.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// deepest is how far a document may nest, as in encoding/json.
const deepest = 10_000

// isDocument reports whether the text is one well-formed JSON object. gjson checks by recursion: some megabytes of
// brackets would overflow the stack, which ends the process and cannot be recovered from, so they are counted first.
func isDocument(text string) bool {
	return gjson.Parse(text).IsObject() && !tooDeep(text) && valid(text)
}

// tooDeep reports whether brackets nest deeper than deepest. It is right up to the first mistake in the text, which is
// as far as the check after it goes.
func tooDeep(text string) bool {
	if strings.Count(text, "[")+strings.Count(text, "{") <= deepest {
		return false
	}
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			i += 1 + stringEnd(text[i+1:])
		case '[', '{':
			if depth++; depth > deepest {
				return true
			}
		case ']', '}':
			depth--
		}
	}
	return false
}

// stringEnd is where the quote stands that ends a JSON string, of which s is what follows the first quote; len(s) when
// none does.
func stringEnd(s string) int {
	for from := 0; ; {
		i := strings.IndexByte(s[from:], '"')
		if i < 0 {
			return len(s)
		}
		quote := from + i
		escapes := quote
		for escapes > from && s[escapes-1] == '\\' {
			escapes--
		}
		if (quote-escapes)%2 == 0 {
			return quote
		}
		from = quote + 1
	}
}
