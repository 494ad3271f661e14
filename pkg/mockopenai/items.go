package mockopenai

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/tidwall/gjson"
)

// inputKept is the longest input of a response, and the longest list of messages of a chat, that is kept to be shown again.
const inputKept = 16 << 10

// input is what the request says, as JSON; empty if it is too long to be kept.
func (x *exchange) input() string {
	raw := x.ask.doc.Get("input").Raw
	if raw == "" {
		raw = x.ask.doc.Get("messages").Raw
	}
	if len(raw) > inputKept {
		return ""
	}
	return strings.Clone(raw) // the body is larger
}

// inputItems are the items of an input, the oldest first. Those without an id get one that begins with the given.
func inputItems(input, prefix string) (all []map[string]any) {
	doc := gjson.Parse(input)
	if doc.Type == gjson.String {
		doc = gjson.Parse(`[{"role":"user","content":` + doc.Raw + `}]`)
	}
	for i, item := range doc.Array() {
		fields := map[string]any{"id": fmt.Sprint(prefix, i), "type": "message", "status": "completed"}
		item.ForEach(func(name, value gjson.Result) bool { fields[name.Str] = json.RawMessage(value.Raw); return true })
		if content := item.Get("content"); content.Type == gjson.String {
			fields["content"] = json.RawMessage(`[{"type":"input_text","text":` + content.Raw + `}]`)
		}
		if id := item.Get("id").Str; id != "" {
			fields["id"] = id
		}
		all = append(all, fields)
	}
	return all
}

// showInput is GET /v1/responses/{id}/input_items.
func (x *exchange) showInput(_ *objects, _ *shelf, one *object) any {
	_, suffix := cutPrefix(one.id())
	return x.list(newestFirst(one, inputItems(one.input, "msg_"+suffix+"i")))
}

// newestFirst makes objects of fields to be listed, which are not stored by themselves.
func newestFirst(of *object, all []map[string]any) (listed []*object) {
	for _, fields := range slices.Backward(all) {
		listed = append(listed, &object{path: of.path + "/x/" + fmt.Sprint(fields["id"]), fields: fields})
	}
	return listed
}

// addTalk adds what was said to the conversation that the request names, if it does.
func (x *exchange) addTalk(s *shelf, one *object) {
	talk := x.ask.doc.Get("conversation")
	id := talk.Str
	if talk.IsObject() {
		id = talk.Get("id").Str
	}
	if id == "" {
		return
	}
	_, suffix := cutPrefix(one.id())
	items := inputItems(one.input, "msg_"+suffix+"i")
	output := one.fields["output"]
	if one.work != nil {
		output = one.work.done["output"]
	}
	list, _ := output.([]any)
	for _, item := range list {
		if fields, ok := item.(map[string]any); ok {
			items = append(items, fields)
		}
	}
	s.addItems("/v1/conversations/"+id+"/items", items)
}

func (s *shelf) addItems(collection string, items []map[string]any) {
	for _, fields := range items {
		s.add(&object{path: collection + "/" + fmt.Sprint(fields["id"]), fields: fields})
	}
}

// addItems is POST /v1/conversations/{id}/items: each gets an id of its own.
func (x *exchange) addItems(o *objects, s *shelf, collection string) any {
	o.made++
	prefix := fmt.Sprintf("msg_%st%di", x.s.instance, o.made)
	items := inputItems(x.ask.doc.Get("items").Raw, prefix)
	data := make([]any, 0, len(items))
	for i, fields := range items {
		fields["id"] = fmt.Sprint(prefix, i)
		data = append(data, fields)
	}
	s.addItems(collection, items)
	a := map[string]any{"object": "list", "data": data, "has_more": false}
	if n := len(items); n > 0 {
		a["first_id"], a["last_id"] = items[0]["id"], items[n-1]["id"]
	}
	return a
}

// cutPrefix parts an id behind the prefix that says its kind.
func cutPrefix(id string) (prefix, suffix string) {
	for i := range id {
		if id[i] == '_' || id[i] == '-' {
			return id[:i+1], id[i+1:]
		}
	}
	return "", id
}
