package mockopenai

import (
	"encoding/json"
	"net/http"

	"github.com/tidwall/gjson"
)

var threadWays = []way{
	{http.MethodPost, "/v1/assistants", func(x *exchange, o *objects, s *shelf) any {
		doc := x.ask.doc
		return x.put(o, s, "/v1/assistants", map[string]any{"name": raw(doc.Get("name"), "null"), "model": x.ask.model,
			"description": raw(doc.Get("description"), "null"), "instructions": raw(doc.Get("instructions"), "null"),
			"tools": raw(doc.Get("tools"), "[]"), "tool_resources": x.resources(o, s, doc.Get("tool_resources")),
			"metadata": raw(doc.Get("metadata"), "{}")}).fields
	}},
	{http.MethodPost, "/v1/threads", func(x *exchange, o *objects, s *shelf) any { return x.thread(o, s, x.ask.doc).fields }},
	{http.MethodPost, "/v1/threads/*/messages", func(x *exchange, o *objects, s *shelf) any {
		path, _ := cutLast(x.r.URL.Path)
		if run := activeRun(s, path); run != nil {
			return conflict("Can't add messages to " + s.byPath[path].id() + " while a run " + run.id() + " is active.")
		}
		return x.message(o, s, s.byPath[path], x.ask.doc).fields
	}},
	{http.MethodGet, "/v1/threads/*/messages", func(x *exchange, o *objects, s *shelf) any {
		return x.list(having(s.in(x.r.URL.Path), "run_id", x.r.URL.Query().Get("run_id")))
	}},
}

// having are the objects whose field has the value; all, if that is empty.
func having(all []*object, field, value string) (some []*object) {
	for _, o := range all {
		if value == "" || o.fields[field] == value {
			some = append(some, o)
		}
	}
	return some
}

// thread makes a thread with the messages that it begins with.
func (x *exchange) thread(o *objects, s *shelf, spec gjson.Result) *object {
	thread := x.put(o, s, "/v1/threads", map[string]any{"metadata": raw(spec.Get("metadata"), "{}"),
		"tool_resources": x.resources(o, s, spec.Get("tool_resources"))})
	for _, message := range spec.Get("messages").Array() {
		x.message(o, s, thread, message)
	}
	return thread
}

// resources are those that an assistant or a thread is given. Vector stores which are only described are made.
func (x *exchange) resources(o *objects, s *shelf, given gjson.Result) map[string]any {
	all := map[string]any{}
	if code := given.Get("code_interpreter"); code.Exists() {
		all["code_interpreter"] = json.RawMessage(code.Raw)
	}
	if search := given.Get("file_search"); search.Exists() {
		ids := []string{}
		for _, id := range search.Get("vector_store_ids").Array() {
			ids = append(ids, id.Str)
		}
		for _, described := range search.Get("vector_stores").Array() {
			ids = append(ids, x.vectorStore(o, s, described, described.Get("file_ids").Array()...).id())
		}
		all["file_search"] = map[string]any{"vector_store_ids": ids}
	}
	return all
}

// vectorStore makes a vector store of files.
func (x *exchange) vectorStore(o *objects, s *shelf, described gjson.Result, files ...gjson.Result) *object {
	store := x.put(o, s, vectorStores, map[string]any{"name": nil, "status": "completed", "metadata": raw(described.Get("metadata"), "{}")})
	for _, file := range files {
		x.putFile(o, s, store, file.Str, described)
	}
	s.count(store.path)
	return store
}

// message adds a message of the caller to a thread. A file that is attached to be searched is put into a vector store of the
// thread's own.
func (x *exchange) message(o *objects, s *shelf, thread *object, spec gjson.Result) *object {
	for _, attached := range spec.Get("attachments").Array() {
		resources := thread.fields["tool_resources"].(map[string]any)
		if attached.Get(`tools.#(type=="file_search")`).Exists() && resources["file_search"] == nil {
			resources["file_search"] = map[string]any{"vector_store_ids": []string{x.vectorStore(o, s, attached, attached.Get("file_id")).id()}}
		}
	}
	one := x.put(o, s, thread.path+"/messages", map[string]any{"thread_id": thread.id(), "status": "completed",
		"role": spec.Get("role").String(), "content": contentOf(spec.Get("content")), "assistant_id": nil, "run_id": nil,
		"attachments": raw(spec.Get("attachments"), "[]"), "metadata": raw(spec.Get("metadata"), "{}"),
		"incomplete_at": nil, "incomplete_details": nil})
	one.fields["completed_at"] = one.created
	return one
}

// contentOf is the content of a message as it is shown: a text has its annotations.
func contentOf(given gjson.Result) (parts []any) {
	text := func(value string) any {
		return map[string]any{"type": "text", "text": map[string]any{"value": value, "annotations": []any{}}}
	}
	if given.Type == gjson.String {
		return []any{text(given.Str)}
	}
	for _, part := range given.Array() {
		if part.Get("type").Str == "text" {
			parts = append(parts, text(part.Get("text").Str))
		} else {
			parts = append(parts, json.RawMessage(part.Raw))
		}
	}
	return parts
}
