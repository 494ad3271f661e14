package mockopenai

import (
	"encoding/json"
	"fmt"
	"maps"
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
func (x *exchange) stored() {
	o := x.s.objects
	o.mu.Lock()
	a := x.answerStored(o, o.shelfLocked(x.accountName()))
	text, _ := json.Marshal(a) // of strings, numbers and what came as JSON, or not used
	o.mu.Unlock()
	switch a := a.(type) {
	case *refusal:
		x.refuse(*a)
	case []byte:
		x.send("application/octet-stream", a)
	case *resumption:
		x.resume(a)
	default:
		x.json(text)
	}
}

// answerStored does what is asked, and returns a refusal, bytes, or what is to be JSON.
func (x *exchange) answerStored(o *objects, s *shelf) any {
	path := x.r.URL.Path
	if no := x.dangling(s); no != nil {
		return no
	}
	before, last := cutLast(path)
	if k, isCollection := kindOf(path); isCollection {
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
	if _, isItem := kindOf(before); isItem {
		return x.item(o, s, path)
	}
	for rest := before; rest != ""; rest, _ = cutLast(rest) {
		if one := s.byPath[rest]; one != nil {
			return x.act(o, s, one, last)
		}
	}
	return missing(before)
}

// missing is what the real one says of an object that this account has not.
func missing(path string) *refusal {
	_, id := cutLast(path)
	return &refusal{http.StatusNotFound, "invalid_request_error", "", "id", "No such object: " + id}
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

// create makes an object of what the body says.
func (x *exchange) create(o *objects, s *shelf, collection string, k kind) any {
	if k.collection == "/v1/conversations/*/items" {
		return x.addItems(o, s, collection)
	}
	one := x.newObject(o, collection, k)
	s.add(one)
	switch k.collection {
	case "/v1/conversations":
		delete(one.fields, "items")
		x.addItems(o, s, one.path+"/items")
	case "/v1/threads":
		if x.r.URL.Path == "/v1/threads/runs" {
			runs, _ := kindOf(one.path + "/runs")
			run := x.newObject(o, one.path+"/runs", runs)
			run.fields["thread_id"] = one.id()
			s.add(run)
			return run.fields
		}
	}
	return one.fields
}

func (x *exchange) newObject(o *objects, collection string, k kind) *object {
	at := o.nextLocked()
	fields := map[string]any{}
	x.ask.doc.ForEach(func(name, value gjson.Result) bool { fields[name.Str] = json.RawMessage(value.Raw); return true })
	for name, value := range x.ask.form {
		fields[name] = value
	}
	for name, size := range x.ask.files {
		fields["filename"], fields["bytes"] = name, size
	}
	id := fmt.Sprintf("%s%sx%d", k.prefix, x.s.instance, o.made)
	if k.prefix == "" { // it is another object's place here
		id = x.ask.text("file_id")
	}
	usual := map[string]any{"id": id, "object": k.object, "created_at": at, "status": "completed"}
	switch k.collection {
	case "/v1/batches":
		usual["status"] = "validating"
	case "/v1/fine_tuning/jobs":
		usual["status"] = "validating_files"
	}
	maps.Copy(fields, usual)
	return &object{path: collection + "/" + id, fields: fields, content: x.ask.held, created: at}
}

// item is GET, POST or DELETE of an object.
func (x *exchange) item(o *objects, s *shelf, path string) any {
	one := s.byPath[path]
	if one == nil {
		return missing(path)
	}
	switch x.r.Method {
	case http.MethodDelete:
		s.drop(one)
		if talk := talkOf(s, one); talk != nil {
			return talk.fields
		}
		return map[string]any{"id": one.id(), "object": fmt.Sprint(one.fields["object"], ".deleted"), "deleted": true}
	case http.MethodPost:
		x.ask.doc.ForEach(func(name, value gjson.Result) bool { one.fields[name.Str] = json.RawMessage(value.Raw); return true })
	}
	if x.r.Method == http.MethodGet && strings.HasPrefix(path, "/v1/responses/") {
		return x.lookAt(one)
	}
	if x.r.Method == http.MethodGet && strings.HasPrefix(path, "/v1/fine_tuning/jobs/") {
		x.tune(o, s, one)
	}
	if strings.HasPrefix(path, "/v1/batches/") && !one.looked { // it is done when somebody looks
		one.looked = true
		one.fields["status"], one.fields["output_file_id"] = "completed", x.outcome(o, s, "batch_output").id()
	}
	return one.fields
}

// outcome is a file that the account was made.
func (x *exchange) outcome(o *objects, s *shelf, purpose string) *object {
	files, _ := kindOf("/v1/files")
	file := x.newObject(o, "/v1/files", files)
	file.fields["purpose"] = purpose
	s.add(file)
	return file
}

// act does something with an object.
func (x *exchange) act(o *objects, s *shelf, one *object, name string) any {
	if does := deedOf(one, name); does != nil {
		return does(x, o, s, one)
	}
	switch {
	case name == "complete":
		file := x.outcome(o, s, "assistants")
		one.fields["file"] = file.fields
	case name == "remix":
		videos, _ := kindOf("/v1/videos")
		return x.create(o, s, "/v1/videos", videos)
	case name == "content":
		if one.content != nil {
			return one.content
		}
		return []byte(`{"content_of":"` + one.id() + `"}`)
	case name == "cancel":
		one.fields["status"] = "cancelled"
	case x.r.Method == http.MethodGet || name == "search":
		return x.list(nil)
	}
	return one.fields
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
	part, more, ok := page(all, query, limit)
	if !ok {
		return badRequest("after", "No such object: "+query.Get("after"))
	}
	data := make([]any, 0, len(part))
	for _, o := range part {
		data = append(data, o.fields)
	}
	a := map[string]any{"object": "list", "data": data, "has_more": more}
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
