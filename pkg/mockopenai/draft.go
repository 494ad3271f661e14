package mockopenai

import "encoding/json"

// draft is the message that a run writes, with the steps. An assistant that interprets code draws a picture and writes a
// table, which are files of the account from then on.
type draft struct {
	run, message, step *object
	code               *object // the step in which the picture was drawn; nil: there was none
	picture, table     string  // their files
	text               string
}

// draft begins a message.
func (x *exchange) draft(o *objects, s *shelf, run *object) *draft {
	d := &draft{run: run, text: x.plan.text}
	if x.ask.stream {
		d.text = x.plan.streamed
	}
	run.fields["status"], run.fields["started_at"] = "in_progress", o.nextLocked()
	if run.look(`tools.#(type=="code_interpreter")`).Exists() {
		d.picture, d.table = x.madeFile(o, s, "plot.png"), x.madeFile(o, s, "table.csv")
		d.code = x.step(o, s, run, map[string]any{"type": "tool_calls", "tool_calls": []any{map[string]any{"id": "call_" + x.id,
			"type": "code_interpreter", "code_interpreter": map[string]any{"input": "plot()",
				"outputs": []any{map[string]any{"type": "image", "image": map[string]any{"file_id": d.picture}}}}}}})
		d.code.fields["status"] = "completed"
	}
	d.message = x.put(o, s, "/v1/threads/"+run.fields["thread_id"].(string)+"/messages", map[string]any{
		"thread_id": run.fields["thread_id"], "run_id": run.id(), "assistant_id": run.fields["assistant_id"],
		"role": "assistant", "status": "in_progress", "content": []any{}, "attachments": []any{}, "metadata": map[string]any{},
		"completed_at": nil, "incomplete_at": nil, "incomplete_details": nil})
	d.step = x.step(o, s, run, map[string]any{"type": "message_creation",
		"message_creation": map[string]any{"message_id": d.message.id()}})
	return d
}

// madeFile stores a file that an assistant made.
func (x *exchange) madeFile(o *objects, s *shelf, name string) (id string) {
	file := x.put(o, s, "/v1/files", map[string]any{"filename": name, "purpose": "assistants_output", "status": "processed",
		"bytes": len(name)})
	file.content = []byte(name)
	return file.id()
}

// content are the parts of the message.
func (d *draft) content() (parts []any) {
	annotations := []any{}
	if d.code != nil {
		parts = append(parts, map[string]any{"type": "image_file", "image_file": map[string]any{"file_id": d.picture}})
		annotations = append(annotations, map[string]any{"type": "file_path", "text": "sandbox:/mnt/data/table.csv",
			"start_index": 0, "end_index": 1, "file_path": map[string]any{"file_id": d.table}})
	}
	return append(parts, map[string]any{"type": "text", "text": map[string]any{"value": d.text, "annotations": annotations}})
}

// finish ends the run, unless somebody has cancelled it meanwhile.
func (d *draft) finish(o *objects) {
	at := o.nextLocked()
	d.message.fields["content"] = d.content()
	if d.run.fields["status"] == "cancelling" {
		d.run.fields["status"], d.run.fields["cancelled_at"] = "cancelled", at
		d.step.fields["status"], d.step.fields["cancelled_at"] = "cancelled", at
		d.message.fields["status"], d.message.fields["incomplete_at"] = "incomplete", at
		d.message.fields["incomplete_details"] = map[string]any{"reason": "run_cancelled"}
		return
	}
	used := json.RawMessage(`{"prompt_tokens":19,"completion_tokens":7,"total_tokens":26}`)
	for _, one := range []*object{d.message, d.step, d.run} {
		one.fields["status"], one.fields["completed_at"] = "completed", at
	}
	d.step.fields["usage"], d.run.fields["usage"] = used, used
}
