package mockopenai

import (
	"bytes"
	"encoding/json"
	"strconv"

	"github.com/tidwall/gjson"
)

// runBatch carries out the requests of a batch: a line of the output for each, or of the errors. A batch whose file is not known
// to have any lines has an output that is only marked as its own.
func (x *exchange) runBatch(o *objects, s *shelf, batch *object) {
	at := o.nextLocked()
	batch.fields["status"], batch.fields["in_progress_at"], batch.fields["completed_at"] = "completed", at, at
	input := s.byPath["/v1/files/"+batch.text("input_file_id")]
	if input == nil || len(bytes.TrimSpace(input.content)) == 0 {
		batch.fields["output_file_id"] = x.outcome(o, s, "batch_output", nil).id()
		return
	}
	var output, errors []byte
	total, failed := 0, 0
	for line := range bytes.Lines(input.content) {
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		total++
		answer, good := x.batched(batch, string(line), batch.id()+"_"+strconv.Itoa(total))
		if good {
			output = append(append(output, answer...), '\n')
		} else {
			failed++
			errors = append(append(errors, answer...), '\n')
		}
	}
	batch.fields["request_counts"] = map[string]int{"total": total, "completed": total - failed, "failed": failed}
	if len(output) > 0 {
		batch.fields["output_file_id"] = x.outcome(o, s, "batch_output", output).id()
	}
	if len(errors) > 0 {
		batch.fields["error_file_id"] = x.outcome(o, s, "batch_output", errors).id()
	}
}

// batched is the line that answers a request of a batch.
func (x *exchange) batched(batch *object, line, id string) (answer []byte, good bool) {
	request := gjson.Parse(line)
	status, body := 200, ""
	switch {
	case !gjson.Valid(line) || !request.IsObject():
		status, body = 400, batchError("This line is not parseable as valid JSON.")
	case request.Get("url").String() != batch.text("endpoint"):
		status, body = 400, batchError("The URL provided for this request does not match the batch endpoint.")
	default:
		one := *x
		one.id, one.at, one.ask = id, strconv.FormatInt(batch.created, 10), ask{quoted: quote(request.Get("body.model").String())}
		body = one.batchedBody(request.Get("url").Str)
	}
	answer, _ = json.Marshal(map[string]any{"id": "batch_req_" + id, "custom_id": request.Get("custom_id").Value(), "error": nil,
		"response": map[string]any{"status_code": status, "request_id": "req_" + id, "body": json.RawMessage(body)}}) // of JSON
	return answer, status == 200
}

// batchedBody is what an operation answers within a batch.
func (x *exchange) batchedBody(path string) string {
	switch path {
	case "/v1/responses":
		return x.response("completed", x.outputMessage("completed", outputText(x.plan.text)), responseUsage(x.plan.tokens))
	case "/v1/chat/completions":
		return `{"id":"chatcmpl-` + x.id + `","object":"chat.completion","created":` + x.at + `,"model":` + x.ask.quoted +
			`,"choices":[{"index":0,"message":` + x.plan.talk.message + `,"logprobs":null,"finish_reason":"stop"}],"usage":` +
			chatUsage(x.plan.tokens) + `}`
	default:
		return `{"object":"list","data":[],"model":` + x.ask.quoted + `}`
	}
}

func batchError(message string) string {
	return `{"error":{"message":` + quote(message) + `,"type":"invalid_request_error","param":null,"code":null}}`
}

// outcome is a file that the account was made; without content it says only whose content it has.
func (x *exchange) outcome(o *objects, s *shelf, purpose string, content []byte) *object {
	file := x.newFile(o, s, purpose, purpose+".jsonl", content, int64(len(content)))
	if content == nil {
		file.content = []byte(`{"content_of":"` + file.id() + `"}`)
		file.size = int64(len(file.content))
		file.fields["bytes"] = file.size
	}
	return file
}
