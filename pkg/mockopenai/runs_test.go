package mockopenai_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

// assistant makes an assistant with tools, and a thread in which somebody asked something.
func (u *upstream) assistant(tools string) (assistant, thread string) {
	u.t.Helper()
	assistant = u.post("/v1/assistants", `{"model":"gpt-4o","tools":[`+tools+`]}`).get("id").Str
	thread = u.post("/v1/threads", `{"messages":[{"role":"user","content":"Draw","metadata":{"file_id":"mine"}}]}`).get("id").Str
	return assistant, thread
}

// ids of a list, in its order.
func (a answer) ids() (all []string) {
	for _, one := range a.get("data.#.id").Array() {
		all = append(all, one.Str)
	}
	return all
}

func TestRunWithFunction(t *testing.T) {
	u := start(t)
	assistant, thread := u.assistant(`{"type":"function","function":{"name":"weather"}}`)
	runs := "/v1/threads/" + thread + "/runs"
	run := u.post(runs, `{"assistant_id":"`+assistant+`"}`)
	equal(t, "status", run.get("status").Str, "queued")
	path := runs + "/" + run.get("id").Str
	u.do(u.request("POST", runs, `{"assistant_id":"`+assistant+`"}`), http.StatusBadRequest)
	u.do(u.request("POST", "/v1/threads/"+thread+"/messages", `{"role":"user","content":"and?"}`), http.StatusBadRequest)
	waits := u.get(path)
	equal(t, "status", waits.get("status").Str, "requires_action")
	call := waits.get("required_action.submit_tool_outputs.tool_calls.0")
	equal(t, "function", call.Get("function.name").Str, "weather")
	u.do(u.request("POST", path+"/submit_tool_outputs", `{"tool_outputs":[{"tool_call_id":"other","output":"x"}]}`), http.StatusBadRequest)
	u.post(path+"/submit_tool_outputs", `{"tool_outputs":[{"tool_call_id":"`+call.Get("id").Str+`","output":"sunny"}]}`)
	equal(t, "status", u.get(path).get("status").Str, "completed")
	u.do(u.request("POST", path+"/submit_tool_outputs", `{"tool_outputs":[]}`), http.StatusBadRequest)
	u.do(u.request("POST", path+"/cancel", ``), http.StatusBadRequest)

	steps := u.get(path + "/steps?order=asc")
	equal(t, "what the function returned", steps.get("data.0.step_details.tool_calls.0.function.output").Str, "sunny")
	written := steps.get("data.1.step_details.message_creation.message_id").Str
	messages := u.get("/v1/threads/" + thread + "/messages")
	equal(t, "the newest message", messages.get("first_id").Str, written)
	equal(t, "messages", len(messages.ids()), 2)
	equal(t, "of the run", strings.Join(u.get("/v1/threads/"+thread+"/messages?run_id="+run.get("id").Str).ids(), " "), written)
	equal(t, "role", u.get("/v1/threads/"+thread+"/messages/"+written).get("role").Str, "assistant")
	step := steps.ids()[1]
	equal(t, "a step", u.get(path+"/steps/"+step).get("id").Str, step)
	u.do(u.request("GET", runs+"/run_other/steps", ``), http.StatusNotFound)
}

func TestCancelledRun(t *testing.T) {
	u := start(t)
	assistant, thread := u.assistant("")
	run := u.post("/v1/threads/"+thread+"/runs", `{"assistant_id":"`+assistant+`"}`).get("id").Str
	path := "/v1/threads/" + thread + "/runs/" + run
	equal(t, "status", u.post(path+"/cancel", ``).get("status").Str, "cancelling")
	equal(t, "status", u.get(path).get("status").Str, "cancelled")
	equal(t, "messages", len(u.get("/v1/threads/"+thread+"/messages").ids()), 1)
	u.do(u.request("POST", "/v1/threads/"+thread+"/runs", `{}`), http.StatusBadRequest)
	u.do(u.request("POST", "/v1/threads/"+thread+"/runs", `{"assistant_id":"asst_other"}`), http.StatusNotFound)
}

func TestStreamedRun(t *testing.T) {
	u := start(t, few(2))
	assistant, _ := u.assistant(`{"type":"code_interpreter"}`)
	a := u.post("/v1/threads/runs", `{"stream":true,"assistant_id":"`+assistant+`","thread":{"tool_resources":{"file_search":
		{"vector_stores":[{"metadata":{"a":"b"}}]}},"messages":[{"role":"user","content":[{"type":"text","text":"Draw"}]}]}}`)
	data, names := a.events()
	wellFormed(t, data[:len(data)-1])
	want := []string{"thread.created", "thread.run.created", "thread.run.queued", "thread.run.in_progress", "thread.run.step.created",
		"thread.run.step.completed", "thread.run.step.created", "thread.run.step.in_progress", "thread.message.created",
		"thread.message.in_progress", "thread.message.delta", "thread.message.delta", "thread.message.delta",
		"thread.message.completed", "thread.run.step.completed", "thread.run.completed", "done"}
	if !slices.Equal(names, want) {
		t.Errorf("%v\nwant\n%v", names, want)
	}
	thread := answer{body: []byte(data[0])}
	store := thread.get("tool_resources.file_search.vector_store_ids.0").Str
	equal(t, "the vector store", u.get("/v1/vector_stores/"+store).get("id").Str, store)
	message := answer{body: []byte(data[13])}
	for _, path := range []string{"content.0.image_file.file_id", "content.1.text.annotations.0.file_path.file_id"} {
		equal(t, path, u.get("/v1/files/"+message.get(path).Str).get("purpose").Str, "assistants_output")
	}
	run := answer{body: []byte(data[15])}
	equal(t, "the run", u.get("/v1/threads/"+thread.get("id").Str+"/runs/"+run.get("id").Str).get("status").Str, "completed")
}

func TestStreamedToolOutputs(t *testing.T) {
	u := start(t, few(2))
	assistant, thread := u.assistant(`{"type":"function","function":{"name":"weather"}}`)
	runs := "/v1/threads/" + thread + "/runs"
	data, names := u.post(runs, `{"stream":true,"assistant_id":"`+assistant+`"}`).events()
	equal(t, "the last but one", names[len(names)-2], "thread.run.requires_action")
	run := answer{body: []byte(data[len(data)-2])}
	call := run.get("required_action.submit_tool_outputs.tool_calls.0.id").Str
	_, names = u.post(runs+"/"+run.get("id").Str+"/submit_tool_outputs",
		`{"stream":true,"tool_outputs":[{"tool_call_id":"`+call+`","output":"sunny"}]}`).events()
	equal(t, "the last but one", names[len(names)-2], "thread.run.completed")
	equal(t, "messages", len(u.get("/v1/threads/"+thread+"/messages").ids()), 2)
}

// A file that is attached to be searched lies in a vector store of the thread's own.
func TestAttachedFiles(t *testing.T) {
	u := start(t)
	file := u.do(u.form("/v1/files", [2]string{"purpose", "assistants"}, [2]string{"file", "@notes.txt"}), 200).get("id").Str
	_, thread := u.assistant("")
	u.post("/v1/threads/"+thread+"/messages", `{"role":"user","content":"Read","attachments":[{"file_id":"`+file+`","tools":[{"type":"file_search"}]}]}`)
	store := u.get("/v1/threads/" + thread).get("tool_resources.file_search.vector_store_ids.0").Str
	equal(t, "the vector store", strings.Join(u.get("/v1/vector_stores/"+store+"/files").ids(), " "), file)
}
