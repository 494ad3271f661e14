package mockopenai

import (
	"cmp"
	"strconv"
)

// respond is POST /v1/responses: one message of text, and before it what the model thought, sealed, if that is asked for.
func (x *exchange) respond() {
	if x.ask.quoted == "" { // a stored prompt may name the model
		x.ask.quoted = `"gpt-4o-mini"`
	}
	if x.dangles() || x.unsealable() {
		return
	}
	x.at = created
	stored := x.ask.doc.Get("store").Raw != "false"
	if stored {
		x.at = x.s.objects.next()
	}
	switch {
	case x.ask.later:
		x.respondLater(stored)
		return
	case stored:
		x.keep("/v1/responses", x.answered(x.plan.text, x.plan.tokens), nil)
	}
	if x.ask.stream {
		st := x.openEvents(responseError)
		x.bill(promptTokens, 0)
		x.eachEvent("in_progress", func(event []byte, isToken bool) {
			if isToken {
				st.token(event)
			} else {
				st.send(event)
			}
		})
		return
	}
	x.bill(promptTokens, x.plan.tokens)
	x.json([]byte(x.answered(x.plan.text, x.plan.tokens)))
}

// answered is the response when it is done, with the text that its message has and the tokens of that.
func (x *exchange) answered(text string, tokens int64) string {
	return x.response("completed", x.said(x.outputMessage("completed", outputText(text))), responseUsage(tokens))
}

// response is the response object; output is the JSON of its items.
func (x *exchange) response(status, output, usage string) string {
	return `{"id":"resp_` + x.id + `","object":"response","created_at":` + x.at + `,"status":"` + status +
		`","background":` + strconv.FormatBool(x.ask.later) + `,"error":null,"incomplete_details":null,"instructions":null,"max_output_tokens":null,"model":` +
		x.ask.quoted + `,"output":[` + output + `],"parallel_tool_calls":true,"previous_response_id":` + cmp.Or(x.ask.after, "null") + `,` +
		`"reasoning":{"effort":null,"summary":null},"service_tier":"default","store":true,"temperature":1.0,` +
		`"text":{"format":{"type":"text"}},"tool_choice":"auto","tools":[],"top_p":1.0,"truncation":"disabled","usage":` +
		usage + `,"user":null,"metadata":{},"access_programs":{"cyber":"standard"}}`
}

func (x *exchange) outputMessage(status, content string) string {
	return `{"id":"msg_` + x.id + `","type":"message","status":"` + status + `","role":"assistant","content":[` + content +
		`]}`
}

func outputText(text string) string {
	return `{"type":"output_text","text":"` + text + `","annotations":[],"logprobs":[]}`
}

func responseUsage(output int64) string {
	return `{"input_tokens":` + strconv.Itoa(promptTokens) +
		`,"input_tokens_details":{"cached_tokens":0,"cache_write_tokens":0},"output_tokens":` + strconv.FormatInt(output, 10) +
		`,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":` +
		strconv.FormatInt(promptTokens+output, 10) + `}`
}

// eachEvent calls send with the events of the stream in the order of the real thing, each with its name and number, and says
// which of them are a token. The first has the status with which the response begins.
func (x *exchange) eachEvent(begins string, send func(event []byte, isToken bool)) {
	number := 0
	event := func(name, fields string) {
		send([]byte("event: "+name+"\n"+`data: {"type":"`+name+`","sequence_number":`+strconv.Itoa(number)+`,`+fields+"}\n\n"),
			name == "response.output_text.delta")
		number++
	}
	index := `"output_index":` + strconv.Itoa(len(x.thought())) + `,`
	place := `"item_id":"msg_` + x.id + `",` + index + `"content_index":0,`
	text := x.plan.streamed
	message := x.outputMessage("completed", outputText(text))

	event("response.created", `"response":`+x.response(begins, "", "null"))
	event("response.in_progress", `"response":`+x.response("in_progress", "", "null"))
	for _, item := range x.thought() {
		event("response.output_item.added", `"output_index":0,"item":`+item)
		event("response.output_item.done", `"output_index":0,"item":`+item)
	}
	event("response.output_item.added", index+`"item":`+x.outputMessage("in_progress", ""))
	event("response.content_part.added", place+`"part":`+outputText(""))
	for range x.plan.Chunks {
		event("response.output_text.delta", place+`"delta":"`+piece+`","logprobs":[]`)
	}
	event("response.output_text.done", place+`"text":"`+text+`","logprobs":[]`)
	event("response.content_part.done", place+`"part":`+outputText(text))
	event("response.output_item.done", index+`"item":`+message)
	event("response.completed", `"response":`+x.answered(text, int64(x.plan.Chunks)))
}

func responseError(sent int) []byte {
	return []byte("event: error\n" + `data: {"type":"error","sequence_number":` + strconv.Itoa(sent) +
		`,"code":"server_error","message":"` + sorry + `","param":null}` + "\n\n")
}
