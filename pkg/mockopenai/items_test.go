package mockopenai_test

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tidwall/gjson"
)

// ids are those of a list, page by page.
func (u *upstream) ids(path string) (all []string) {
	u.t.Helper()
	for after := ""; ; {
		a := u.get(path + after)
		for _, one := range a.get("data.#.id").Array() {
			all = append(all, one.Str)
		}
		if !a.get("has_more").Bool() || len(all) > 100 {
			return all
		}
		after = "&after=" + a.get("last_id").Str
	}
}

func TestInputItems(t *testing.T) {
	u := start(t, few(2))
	id := u.post("/v1/responses", `{"model":"m","input":"Hello"}`).get("id").Str
	a := u.get("/v1/responses/" + id + "/input_items")
	if a.get("data.#").Int() != 1 || a.get("data.0.content.0.text").Str != "Hello" || a.get("data.0.role").Str != "user" {
		t.Errorf("%s", a.body)
	}
	id = u.post("/v1/responses", `{"model":"m","input":[{"role":"user","content":"1"},{"role":"assistant","content":"2"},{"id":"fc_3","type":"function_call_output","output":"3"}]}`).get("id").Str
	path := "/v1/responses/" + id + "/input_items"
	if ids := u.ids(path + "?limit=1&order=asc"); len(ids) != 3 || ids[2] != "fc_3" {
		t.Errorf("%q", ids)
	}
	if newest := u.get(path).get("data.0.id").Str; newest != "fc_3" {
		t.Errorf("the newest is %s", newest)
	}
}

func TestConversationItems(t *testing.T) {
	u := start(t, few(2))
	talk := u.post("/v1/conversations", `{"items":[{"role":"user","content":"first"}],"metadata":{"a":"b"}}`)
	path := "/v1/conversations/" + talk.get("id").Str + "/items"
	added := u.post(path, `{"items":[{"role":"user","content":"second"},{"role":"user","content":"third"}]}`)
	if added.get("data.#").Int() != 2 || added.get("first_id").Str != added.get("data.0.id").Str {
		t.Fatalf("%s", added.body)
	}
	u.post("/v1/responses", `{"model":"m","input":"fourth","conversation":{"id":"`+talk.get("id").Str+`"}}`)
	var said []string
	for _, text := range u.get(path + "?order=asc").get("data.#.content.0.text").Array() {
		said = append(said, text.Str)
	}
	if len(said) != 5 || !slices.Equal(said[:4], []string{"first", "second", "third", "fourth"}) {
		t.Errorf("%q", said)
	}
	one := path + "/" + added.get("data.0.id").Str
	if u.get(one).get("content.0.text").Str != "second" {
		t.Errorf("%s", u.get(one).body)
	}
	if a := u.do(u.request("DELETE", one, ""), 200); a.get("id").Str != talk.get("id").Str || a.get("metadata.a").Str != "b" {
		t.Errorf("%s", a.body)
	}
	u.do(u.request("GET", one, ""), 404)
	if ids := u.ids(path + "?limit=2"); len(ids) != 4 {
		t.Errorf("%q are left", ids)
	}
}

func TestStoredChats(t *testing.T) {
	u := start(t, few(2))
	var first string
	for i, model := range []string{"gpt-4o", "gpt-4o-mini", "gpt-4o"} {
		id := u.post("/v1/chat/completions", fmt.Sprintf(`{"model":%q,"store":true,"metadata":{"n":"%d"},"messages":[{"role":"system","content":"a"},{"role":"user","content":"b"}]}`, model, i)).get("id").Str
		first = cmp.Or(first, id)
	}
	path := "/v1/chat/completions"
	if ids := u.ids(path + "?limit=1"); len(ids) != 3 || ids[0] != first {
		t.Errorf("%q, the first is %s", ids, first)
	}
	for query, want := range map[string]int{"model=gpt-4o": 2, "model=x": 0, "metadata[n]=1": 1, "metadata[n]=": 0, "model=gpt-4o&metadata[n]=1": 0} {
		if ids := u.ids(path + "?" + query); len(ids) != want {
			t.Errorf("%s: %q", query, ids)
		}
	}
	messages := u.ids(path + "/" + first + "/messages?limit=1")
	if !slices.Equal(messages, []string{first + "-0", first + "-1"}) {
		t.Errorf("%q", messages)
	}
	u.post(path+"/"+first, `{"metadata":{"n":"new"}}`)
	if a := u.get(path + "/" + first); a.get("metadata.n").Str != "new" || a.get("model").Str != "gpt-4o" {
		t.Errorf("%s", a.body)
	}
}

func TestFineTuning(t *testing.T) {
	u := start(t)
	file := u.post("/v1/files", `{"purpose":"fine-tune"}`).get("id").Str
	job := u.post("/v1/fine_tuning/jobs", `{"model":"gpt-4o-mini","training_file":"`+file+`"}`)
	path := "/v1/fine_tuning/jobs/" + job.get("id").Str
	var went []string
	for _, do := range []string{"GET ", "POST /pause", "GET ", "POST /resume", "GET ", "GET "} {
		method, what, _ := strings.Cut(do, " ")
		went = append(went, u.do(u.request(method, path+what, ""), 200).get("status").Str)
	}
	if want := []string{"running", "paused", "paused", "queued", "running", "succeeded"}; !slices.Equal(went, want) {
		t.Errorf("it was %q", went)
	}
	if a := u.do(u.request("POST", path+"/cancel", ""), 200); a.get("status").Str != "succeeded" {
		t.Errorf("%s", a.body)
	}
	done := u.get(path)
	if result := u.get("/v1/files/" + done.get("result_files.0").Str); result.get("purpose").Str != "fine-tune-results" || done.get("fine_tuned_model").Str == "" {
		t.Errorf("%s, %s", done.body, result.body)
	}
	for name, want := range map[string]int{"/events": 5, "/checkpoints": 3} {
		if ids := u.ids(path + name + "?limit=2"); len(ids) != want {
			t.Errorf("%s: %q", name, ids)
		}
	}
}

// What an account sealed only it can open.
func TestSealed(t *testing.T) {
	u := start(t, few(2))
	a := u.post("/v1/responses", `{"model":"m","input":"x","store":false,"include":["reasoning.encrypted_content"]}`)
	thought := a.get("output.0")
	if thought.Get("type").Str != "reasoning" || a.get("output.#").Int() != 2 {
		t.Fatalf("%s", a.body)
	}
	compacted := u.post("/v1/responses/compact", `{"model":"m","input":[`+thought.Raw+`]}`)
	for _, item := range []gjson.Result{thought, compacted.get("output.0")} {
		u.post("/v1/responses", `{"model":"m","input":[`+item.Raw+`]}`)
		req := u.request("POST", "/v1/responses", `{"model":"m","input":[`+item.Raw+`]}`)
		req.Header.Set("Authorization", "Bearer sk-test-two-abcd")
		if a := u.do(req, 400); a.get("error.code").Str != "invalid_encrypted_content" {
			t.Errorf("%s", a.body)
		}
	}
	if n := u.post("/v1/responses/input_tokens", `{"model":"m","input":"x"}`).get("input_tokens").Int(); n != 19 {
		t.Errorf("%d tokens", n)
	}
}
