package mockopenai

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"

	"github.com/tidwall/gjson"
)

// act is an operation on stored objects that does more than make one, show it, change its fields or drop it.
type act struct {
	method, template string
	do               func(x *exchange, o *objects, s *shelf) any // what it returns is what answerStored does, or a func(): see stored
}

// acts are looked at in order, behind what a request points at and before what is done with any object.
var acts = slicesOf(threadActs, runActs, evalActs, videoActs, skillActs)

func slicesOf(families ...[]act) (all []act) {
	for _, f := range families {
		all = append(all, f...)
	}
	return all
}

// actOf is what a method and a path do beyond the usual; nil: nothing.
func actOf(method, path string) func(*exchange, *objects, *shelf) any {
	for _, a := range acts {
		if a.method == method && samePath(a.template, path) {
			return a.do
		}
	}
	return nil
}

// absent refuses a path within something that the account has not.
func absent(s *shelf, path string) *refusal {
	for inner, _ := cutLast(path); inner != ""; inner, _ = cutLast(inner) {
		collection, _ := cutLast(inner)
		_, isItem := kindOf(collection)
		if _, isCollection := kindOf(inner); isItem && !isCollection && s.byPath[inner] == nil {
			return missing(inner)
		}
	}
	return nil
}

// put stores a new object of a collection, which has these fields besides the usual ones.
func (x *exchange) put(o *objects, s *shelf, collection string, fields map[string]any) *object {
	k, _ := kindOf(collection)
	at := o.nextLocked()
	id := fmt.Sprintf("%s%sx%d", k.prefix, x.s.instance, o.made)
	all := map[string]any{"id": id, "object": k.object, "created_at": at}
	maps.Copy(all, fields)
	one := &object{path: collection + "/" + id, fields: all, created: at}
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
