package openai

import (
	"slices"
	"strings"
	"unicode"

	"github.com/tidwall/gjson"
)

// The fields of forms and queries have names for what lies within objects and lists, which no standard sets: an element may be named
// file_ids, file_ids[], file_ids[0] or file_ids.0, and a member video[id] or video.id. What an upstream makes of a spelling is not known
// here, so all of them mean what they could mean. Where a value is JSON, the field is what that holds.

// ReferencesInQuery are the objects that a query points at, by the names that bodies have for them.
func ReferencesInQuery(query map[string][]string) []Reference {
	r := new(headReader)
	for name, values := range query {
		for _, value := range values {
			r.referByField(name, value)
		}
	}
	slices.SortFunc(r.head.References, func(a, b Reference) int { return strings.Compare(a.Param+a.ID, b.Param+b.ID) })
	return r.head.References
}

// mostNested bounds the members in the name of a field, more than any has.
const mostNested = 32

// referByField notes what a field of a form or a query points at: what the same would in a body of JSON, and besides the value of a field
// in whose name one that points at something stands anywhere.
func (r *headReader) referByField(name, value string) {
	path, before := fieldPath(name), len(r.head.References)
	if len(path) == 0 {
		return
	}
	top := path[0]
	for _, member := range path {
		if isOwn(top, member) {
			break
		}
		if family, refers := referring[member]; refers {
			r.refer(name, family, value)
		}
	}
	if len(path) > mostNested {
		r.crowded = true
		return
	}
	text := afterBlanks(value)
	plain := !isDocumentOrList(text)
	if plain {
		text = string(gjson.AppendJSONString(nil, value))
	}
	for _, member := range slices.Backward(path[1:]) {
		text = "{" + string(gjson.AppendJSONString(nil, member)) + ":" + text + "}"
	}
	if (top == "input" || top == "items") && !strings.HasPrefix(text, "[") {
		text = "[" + text + "]" // one of them
	}
	r.reference(top, gjson.Parse(text))
	if plain {
		r.callByField(name, before)
	}
}

// callByField has the references behind the first some bear the name of the field, each once.
func (r *headReader) callByField(name string, some int) {
	added := r.head.References[some:]
	r.head.References = r.head.References[:some]
	for _, one := range added {
		if one.Param = name; !slices.Contains(r.head.References[some:], one) {
			r.head.References = append(r.head.References, one)
		}
	}
}

// fieldPath are the names in the name of a field, without the places in lists.
func fieldPath(name string) (path []string) {
	between := func(c rune) bool { return unicode.IsSpace(c) || strings.ContainsRune(`[].'"`, c) }
	for member := range strings.FieldsFuncSeq(name, between) {
		if strings.Trim(member, "0123456789") != "" {
			path = append(path, member)
		}
	}
	return path
}

// afterBlanks is the text without what may stand before JSON.
func afterBlanks(text string) string {
	return strings.TrimLeftFunc(text, func(c rune) bool { return unicode.IsSpace(c) || c == '\ufeff' || c < ' ' })
}

// only is the name that a path has alone; empty when there are more.
func only(path []string) string {
	if len(path) == 1 {
		return path[0]
	}
	return ""
}

func isDocumentOrList(text string) bool {
	return strings.HasPrefix(text, "{") || strings.HasPrefix(text, "[")
}

// isPlainField reports whether the rest of a long value does not matter: it is a text, such as a prompt.
func isPlainField(name, begin string) bool {
	path := fieldPath(name)
	if len(path) > 1 {
		return false
	}
	for _, top := range path {
		if _, refers := referring[top]; refers || top == "model" || top == "stream" {
			return false
		}
		if _, points := pointing[top]; points {
			return false
		}
	}
	text := afterBlanks(begin)
	return text != "" && !isDocumentOrList(text)
}
