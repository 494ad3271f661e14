package openai

import "strings"

// isOwn reports whether what is within a member, at whatever depth that stands, has the caller's own names: labels, and the rows
// that an evaluation goes through. A word among them that is also the name of a field points at nothing. In a stored prompt the
// variables have the caller's names, too, but their values are what the upstream reads: a file can be one, whatever it is called.
func isOwn(top, name string) bool {
	switch name {
	case "metadata", "attributes":
		return top != "prompt"
	case "item", "sample":
		return top == "data_source"
	}
	return false
}

// behindObject is what follows the object at the beginning of a text; the text itself if there is none.
func behindObject(text string) string {
	if !strings.HasPrefix(text, "{") {
		return text
	}
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			i += 1 + stringEnd(text[i+1:])
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return text[i+1:]
			}
		}
	}
	return ""
}
