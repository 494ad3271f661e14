package mockopenai

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/tidwall/gjson"
)

// showMessages is GET /v1/chat/completions/{id}/messages. The id of a message is that of the completion and its number.
func (x *exchange) showMessages(_ *objects, _ *shelf, one *object) any {
	var all []map[string]any
	for i, message := range gjson.Parse(one.input).Array() {
		all = append(all, map[string]any{"id": fmt.Sprintf("%s-%d", one.id(), i), "role": message.Get("role").Str, "name": nil,
			"content": message.Get("content").Value(), "content_parts": nil})
	}
	return x.list(newestFirst(one, all))
}

// ascending are the lists that begin with the oldest when nothing is said.
func ascending(path string) bool {
	return path == "/v1/chat/completions" || strings.HasSuffix(path, "/messages") && strings.HasPrefix(path, "/v1/chat/")
}

// chosen are those of a collection that the query wants, by the filters that the collection has.
func chosen(collection string, all []*object, query url.Values) []*object {
	return slices.DeleteFunc(all, func(one *object) bool {
		for name, values := range query {
			field, key, _ := strings.Cut(strings.TrimSuffix(name, "]"), "[")
			if slices.Contains(filters[collection], field) && !one.has(field, key, values[0]) {
				return true
			}
		}
		return false
	})
}

// filters are the fields by which a collection is filtered.
var filters = map[string][]string{"/v1/chat/completions": {"model", "metadata"}, "/v1/fine_tuning/jobs": {"metadata"}, "/v1/files": {"purpose"}}

// has reports whether a field, or the member of it that is called key, is the text.
func (o *object) has(field, key, text string) bool {
	value := o.value(field)
	if key == "" {
		return value.String() == text || value.Type == gjson.Null && text == "null"
	}
	found := false
	value.ForEach(func(name, member gjson.Result) bool {
		found = found || name.Str == key && member.String() == text
		return true
	})
	return found
}
