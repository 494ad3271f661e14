package mockopenai

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// accountName is the account of the key.
func (x *exchange) accountName() string {
	if shared, ok := x.plan.Accounts[x.key]; ok {
		return shared
	}
	return x.key
}

// stored is every operation on objects that the account stores.
func (x *exchange) stored() { x.storedAnswer()() }

// storedAnswer makes the whole answer while nobody else changes what it shows, and returns what sends it.
func (x *exchange) storedAnswer() (send func()) {
	o := x.s.objects
	o.mu.Lock()
	defer o.mu.Unlock()
	switch a := x.answerStored(o, o.shelfLocked(x.accountName())).(type) {
	case *refusal:
		return func() { x.refuse(*a) }
	case func():
		return a
	case []byte:
		return func() { x.send("application/octet-stream", a) }
	default:
		text, _ := json.Marshal(a) // of strings, numbers and what came as JSON
		return func() { x.json(text) }
	}
}

// answerStored does what is asked, and returns a refusal, bytes, what is to be JSON, or what answers once the objects are
// let go of.
func (x *exchange) answerStored(o *objects, s *shelf) any {
	path := x.r.URL.Path
	if no := x.dangling(s); no != nil {
		return no
	}
	if no := x.tooMuch(o); no != nil {
		return no
	}
	if do := wayOf(x.r.Method, path); do != nil {
		if no := absent(s, path); no != nil {
			return no
		}
		return do(x, o, s)
	}
	if x.r.Method == http.MethodGet {
		s.work(path)
	}
	before, _ := cutLast(path)
	if k, found := kindOf(path); found {
		if parent, _ := cutLast(path); strings.Contains(k.collection, "*") && s.byPath[parent] == nil {
			return missing(parent)
		}
		if x.r.Method == http.MethodPost {
			return x.create(o, s, path, k)
		}
		return x.list(chosen(path, s.in(path), x.r.URL.Query()))
	}
	if made := makers[path]; made != "" {
		k, _ := kindOf(made)
		return x.create(o, s, made, k)
	}
	if isCollection(before) {
		return x.item(o, s, path)
	}
	for rest := before; rest != ""; rest, _ = cutLast(rest) {
		if one := s.byPath[rest]; one != nil {
			return x.act(o, s, one, strings.TrimPrefix(path, rest))
		}
		if collection, _ := cutLast(rest); isCollection(collection) {
			return missing(rest)
		}
	}
	return missing(before)
}

// missing is what the real one says of an object that this account has not.
func missing(path string) *refusal {
	_, id := cutLast(path)
	return &refusal{http.StatusNotFound, "invalid_request_error", "", "id", "No such object: " + id}
}

// tooMuch refuses files for which there is no room.
func (x *exchange) tooMuch(o *objects) *refusal {
	var size int64
	for _, n := range x.ask.files {
		size += n
	}
	if size == 0 || size+o.heldLocked() <= mostHeld {
		return nil
	}
	return &refusal{http.StatusRequestEntityTooLarge, "invalid_request_error", "", "file",
		fmt.Sprintf("This mock keeps %d bytes of files in all, and %d of them are taken.", int64(mostHeld), o.heldLocked())}
}

// dangling refuses what points at something that the account has not.
func (x *exchange) dangling(s *shelf) (no *refusal) {
	point := func(name, id string) {
		if collection := pointers[name]; collection != "" && id != "" && !strings.HasPrefix(id, "cfile_") && s.byPath[collection+"/"+id] == nil && no == nil {
			no = &refusal{http.StatusNotFound, "invalid_request_error", "", name, "No such object: " + id}
		}
	}
	for name, value := range x.ask.form {
		point(name, value)
	}
	eachPointer(x.ask.doc, point)
	return no
}

// eachPointer calls see for every field at any depth that is a text, or a list of texts.
func eachPointer(value gjson.Result, see func(name, id string)) {
	if !value.IsObject() && !value.IsArray() {
		return
	}
	value.ForEach(func(key, inner gjson.Result) bool {
		switch {
		case key.Str == "metadata" || key.Str == "attributes" || key.Str == "item": // the caller's own names
		case inner.Type == gjson.String:
			see(key.Str, inner.Str)
		case inner.IsArray() && inner.Get("0").Type == gjson.String:
			inner.ForEach(func(_, id gjson.Result) bool { see(key.Str, id.Str); return true })
		case key.Str == "conversation" && inner.IsObject():
			see(key.Str, inner.Get("id").Str)
		default:
			eachPointer(inner, see)
		}
		return true
	})
}

// bareObject is an object with nothing but what all objects have.
func (x *exchange) bareObject(o *objects, collection string, k kind) *object {
	at := o.nextLocked()
	id := fmt.Sprintf("%s%sx%d", k.prefix, x.s.instance, o.made)
	return &object{path: collection + "/" + id, created: at, fields: map[string]any{"id": id, "object": k.object, "created_at": at}}
}

// newObject is one with the fields of the body besides.
func (x *exchange) newObject(o *objects, collection string, k kind) *object {
	one := x.bareObject(o, collection, k)
	one.fields["status"] = "completed"
	switch k.collection {
	case "/v1/batches":
		one.fields["status"] = "validating"
	case "/v1/fine_tuning/jobs":
		one.fields["status"] = "validating_files"
	}
	one.content = x.ask.held
	says := map[string]any{}
	x.ask.doc.ForEach(func(name, value gjson.Result) bool { says[name.Str] = json.RawMessage(value.Raw); return true })
	for name, value := range x.ask.form {
		says[name] = value
	}
	one.usual(says)
	return one
}

// item is GET, POST or DELETE of an object.
func (x *exchange) item(o *objects, s *shelf, path string) any {
	one := s.byPath[path]
	if one == nil {
		return missing(path)
	}
	switch x.r.Method {
	case http.MethodDelete:
		return s.deleted(one)
	case http.MethodPost:
		x.ask.doc.ForEach(func(name, value gjson.Result) bool { one.fields[name.Str] = json.RawMessage(value.Raw); return true })
	}
	return x.look(o, s, one)
}

// list answers with a page of objects.
func (x *exchange) list(all []*object) any {
	query := x.r.URL.Query()
	if query.Get("order") == "" && ascending(x.r.URL.Path) {
		query.Set("order", "asc")
	}
	limit, err := strconv.Atoi(query.Get("limit"))
	if err != nil {
		limit = 20
	}
	part, more, no := page(all, query, limit)
	if no != nil {
		return no
	}
	data := make([]any, 0, len(part))
	for _, o := range part {
		data = append(data, o.fields)
	}
	a := map[string]any{"object": "list", "data": data, "first_id": nil, "last_id": nil, "has_more": more}
	if len(part) > 0 {
		a["first_id"], a["last_id"] = part[0].id(), part[len(part)-1].id()
	}
	return a
}

// keep stores the answer of an inference operation, and what is still to be done for it. It must do so before the caller hears of
// the id.
func (x *exchange) keep(collection, text string, w *work) *object {
	fields := map[string]any{}
	_ = json.Unmarshal([]byte(text), &fields) // it is ours
	if metadata := x.ask.doc.Get("metadata"); metadata.Exists() {
		fields["metadata"] = json.RawMessage(metadata.Raw)
	}
	if w != nil {
		w.done["metadata"] = fields["metadata"]
	}
	id, _ := fields["id"].(string)
	o := x.s.objects
	o.mu.Lock()
	defer o.mu.Unlock()
	one := &object{path: collection + "/" + id, fields: fields, input: x.input(), work: w}
	s := o.shelfLocked(x.accountName())
	s.add(one)
	x.addTalk(s, one)
	return one
}

// dangles refuses an inference that points at something which the account has not, and reports whether it did.
func (x *exchange) dangles() bool {
	o := x.s.objects
	o.mu.Lock()
	no := x.dangling(o.shelfLocked(x.accountName()))
	o.mu.Unlock()
	if no != nil {
		x.refuse(*no)
	}
	return no != nil
}
