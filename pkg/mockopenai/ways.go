package mockopenai

import (
	"encoding/json"
	"maps"
	"net/http"

	"github.com/tidwall/gjson"
)

// way is an operation on stored objects that does more than make one, show it, change its fields or drop it.
type way struct {
	method, template string
	do               func(x *exchange, o *objects, s *shelf) any // what it returns is what answerStored does, or a func(): see stored
}

// ways are looked at in order, behind what a request points at and before what is done with any object.
var ways = slicesOf(threadWays, runWays, evalWays, videoWays, skillWays, voiceWays)

func slicesOf(families ...[]way) (all []way) {
	for _, f := range families {
		all = append(all, f...)
	}
	return all
}

// wayOf is what a method and a path do beyond the usual; nil: nothing.
func wayOf(method, path string) func(*exchange, *objects, *shelf) any {
	for _, w := range ways {
		if w.method == method && samePath(w.template, path) {
			return w.do
		}
	}
	return nil
}

// absent refuses a path within something that the account has not.
func absent(s *shelf, path string) *refusal {
	for inner, _ := cutLast(path); inner != ""; inner, _ = cutLast(inner) {
		collection, _ := cutLast(inner)
		if isCollection(collection) && !isCollection(inner) && s.byPath[inner] == nil {
			return missing(inner)
		}
	}
	return nil
}

// put stores a new object of a collection, which has these fields besides the usual ones.
func (x *exchange) put(o *objects, s *shelf, collection string, fields map[string]any) *object {
	k, _ := kindOf(collection)
	one := x.bareObject(o, collection, k)
	maps.Copy(one.fields, fields)
	s.add(one)
	return one
}

// marked are fields with the metadata of the request, where the real one takes none: tests find by it whose an object is.
func (x *exchange) marked(fields map[string]any) map[string]any {
	if metadata := x.ask.doc.Get("metadata"); metadata.Exists() {
		fields["metadata"] = json.RawMessage(metadata.Raw)
	}
	return fields
}

// look is a part of what an object has, by a path of gjson.
func (o *object) look(path string) gjson.Result {
	text, _ := json.Marshal(o.fields) // of strings, numbers and what came as JSON
	return gjson.GetBytes(text, path)
}

// showing is what an object is like now, while it is streamed.
func (o *object) showing() string {
	text, _ := json.Marshal(o.fields)
	return string(text)
}

// raw is a value as it came; the other one if it did not.
func raw(value gjson.Result, otherwise string) json.RawMessage {
	if !value.Exists() {
		return json.RawMessage(otherwise)
	}
	return json.RawMessage(value.Raw)
}

// conflict refuses what cannot be done as things stand.
func conflict(message string) *refusal {
	return &refusal{http.StatusBadRequest, "invalid_request_error", "", "", message}
}
