package mockopenai

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"

	"github.com/tidwall/gjson"
)

// Runs go on when somebody looks, or while they are streamed: from queued to requires_action, if there is a function to call
// and nobody has told yet what it returned, else to completed, with a message and the step that wrote it; see draft.
var runWays = []way{
	{http.MethodPost, "/v1/threads/runs", func(x *exchange, o *objects, s *shelf) any {
		if no := x.unassisted(); no != nil {
			return no
		}
		thread := x.thread(o, s, x.ask.doc.Get("thread"))
		return x.begin(o, s, thread, runEvent("thread.created", thread))
	}},
	{http.MethodPost, "/v1/threads/*/runs", func(x *exchange, o *objects, s *shelf) any {
		path, _ := cutLast(x.r.URL.Path)
		if run := activeRun(s, path); run != nil {
			return conflict("Thread " + s.byPath[path].id() + " already has an active run " + run.id() + ".")
		}
		if no := x.unassisted(); no != nil {
			return no
		}
		for _, message := range x.ask.doc.Get("additional_messages").Array() {
			x.message(o, s, s.byPath[path], message)
		}
		return x.begin(o, s, s.byPath[path])
	}},
	{http.MethodGet, "/v1/threads/*/runs/*", func(x *exchange, o *objects, s *shelf) any {
		run := s.byPath[x.r.URL.Path]
		if run == nil {
			return missing(x.r.URL.Path)
		}
		x.advance(o, s, run)
		return run.fields
	}},
	{http.MethodPost, "/v1/threads/*/runs/*/cancel", func(x *exchange, _ *objects, s *shelf) any {
		path, _ := cutLast(x.r.URL.Path)
		if run := s.byPath[path]; run.active() {
			run.fields["status"], run.fields["required_action"] = "cancelling", nil
			return run.fields
		}
		return conflict("Cannot cancel run with status '" + s.byPath[path].look("status").Str + "'.")
	}},
	{http.MethodPost, "/v1/threads/*/runs/*/submit_tool_outputs", (*exchange).submit},
}

// active reports whether a run has not ended.
func (o *object) active() bool {
	status, _ := o.fields["status"].(string)
	return slices.Contains([]string{"queued", "in_progress", "requires_action", "cancelling"}, status)
}

// activeRun is the run of a thread that has not ended, of which there is one at most; nil: none.
func activeRun(s *shelf, thread string) *object {
	runs := s.in(thread + "/runs")
	if i := slices.IndexFunc(runs, (*object).active); i >= 0 {
		return runs[i]
	}
	return nil
}

func (x *exchange) unassisted() *refusal {
	if x.ask.text("assistant_id") == "" {
		return lacking("assistant_id")
	}
	return nil
}

// begin makes a run. The events are those of a stream before its own.
func (x *exchange) begin(o *objects, s *shelf, thread *object, before ...[]byte) any {
	doc, assistant := x.ask.doc, s.byPath["/v1/assistants/"+x.ask.text("assistant_id")]
	either := func(name string) any { return raw(doc.Get(name), string(raw(assistant.look(name), "null"))) }
	fields := map[string]any{"thread_id": thread.id(), "assistant_id": assistant.id(), "status": "queued", "model": either("model"),
		"instructions": either("instructions"), "tools": either("tools"), "metadata": raw(doc.Get("metadata"), "{}"),
		"parallel_tool_calls": true, "response_format": "auto", "tool_choice": "auto", "temperature": 1, "top_p": 1,
		"truncation_strategy": map[string]any{"type": "auto", "last_messages": nil}}
	for _, name := range []string{"required_action", "last_error", "expires_at", "started_at", "cancelled_at", "failed_at",
		"completed_at", "incomplete_details", "max_prompt_tokens", "max_completion_tokens", "usage"} {
		fields[name] = nil
	}
	run := x.put(o, s, thread.path+"/runs", fields)
	if !x.ask.stream {
		return run.fields
	}
	return x.streamRun(o, s, run, append(before, runEvent("thread.run.created", run)))
}

// advance is what happened to a run until somebody looked.
func (x *exchange) advance(o *objects, s *shelf, run *object) {
	switch {
	case run.fields["status"] == "cancelling":
		run.fields["status"], run.fields["cancelled_at"] = "cancelled", o.nextLocked()
	case run.fields["status"] != "queued":
	case run.waits():
		x.require(o, s, run)
	default:
		d := x.draft(o, s, run)
		d.finish(o)
	}
}

// waits reports whether a run wants to be told what a function returned.
func (o *object) waits() bool { return !o.looked && o.look(`tools.#(type=="function")`).Exists() }

// require asks the caller to call the first function.
func (x *exchange) require(o *objects, s *shelf, run *object) (step *object) {
	call := map[string]any{"id": "call_" + x.id, "type": "function", "function": map[string]any{
		"name": run.look(`tools.#(type=="function").function.name`).Str, "arguments": "{}"}}
	run.fields["status"] = "requires_action"
	run.fields["required_action"] = map[string]any{"type": "submit_tool_outputs",
		"submit_tool_outputs": map[string]any{"tool_calls": []any{call}}}
	shown := maps.Clone(call)
	shown["function"] = map[string]any{"name": call["function"].(map[string]any)["name"], "arguments": "{}", "output": nil}
	return x.step(o, s, run, map[string]any{"type": "tool_calls", "tool_calls": []any{shown}})
}

// step adds a step that goes on.
func (x *exchange) step(o *objects, s *shelf, run *object, details map[string]any) *object {
	return x.put(o, s, run.path+"/steps", map[string]any{"run_id": run.id(), "thread_id": run.fields["thread_id"],
		"assistant_id": run.fields["assistant_id"], "type": details["type"], "step_details": details, "status": "in_progress",
		"completed_at": nil, "cancelled_at": nil, "expired_at": nil, "failed_at": nil, "last_error": nil, "usage": nil,
		"metadata": map[string]any{}})
}

// submit takes what a function returned.
func (x *exchange) submit(o *objects, s *shelf) any {
	path, _ := cutLast(x.r.URL.Path)
	run := s.byPath[path]
	if run.fields["status"] != "requires_action" {
		return conflict("Runs in status \"" + run.look("status").Str + "\" do not accept tool outputs.")
	}
	wanted := run.look("required_action.submit_tool_outputs.tool_calls.0.id").Str
	given := x.ask.doc.Get(`tool_outputs.#(tool_call_id=="` + wanted + `").output`)
	if !given.Exists() {
		return badRequest("tool_outputs", "Expected tool outputs for call_ids ['"+wanted+"'].")
	}
	step := s.in(run.path + "/steps")[0]
	step.fields["status"], step.fields["step_details"] = "completed", outputTold(step.look("step_details"), given)
	run.looked = true
	run.fields["status"], run.fields["required_action"] = "queued", nil
	if !x.ask.stream {
		return run.fields
	}
	return x.streamRun(o, s, run, [][]byte{runEvent("thread.run.step.completed", step)})
}

// outputTold are the details of a step with what its call returned.
func outputTold(details, output gjson.Result) any {
	var told struct {
		Type  string           `json:"type"`
		Calls []map[string]any `json:"tool_calls"`
	}
	json.Unmarshal([]byte(details.Raw), &told) // written by step
	told.Calls[0]["function"].(map[string]any)["output"] = output.Str
	return told
}
