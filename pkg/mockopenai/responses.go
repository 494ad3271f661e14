package mockopenai

import "strconv"

// respond is POST /v1/responses: one message of text.
func (x *exchange) respond() {
	if x.ask.quoted == "" { // a stored prompt may name the model
		x.ask.quoted = `"gpt-4o-mini"`
	}
	if x.dangles() {
		return
	}
	x.at = created
	if x.ask.doc.Get("store").Raw != "false" {
		x.at = x.s.objects.next()
		x.keep("/v1/responses", x.response("completed", x.outputMessage("completed", outputText(x.plan.text)), responseUsage(x.plan.tokens)))
	}
	if x.ask.stream {
		x.streamResponse()
		return
	}
	x.bill(promptTokens, x.plan.tokens)
	output := x.outputMessage("completed", outputText(x.plan.text))
	x.json([]byte(x.response("completed", output, responseUsage(x.plan.tokens))))
}

// response is the response object; output is the JSON of its items.
func (x *exchange) response(status, output, usage string) string {
	return `{"id":"resp_` + x.id + `","object":"response","created_at":` + x.at + `,"status":"` + status +
		`","background":false,"error":null,"incomplete_details":null,"instructions":null,"max_output_tokens":null,"model":` +
		x.ask.quoted + `,"output":[` + output + `],"parallel_tool_calls":true,"previous_response_id":null,` +
		`"reasoning":{"effort":null,"summary":null},"service_tier":"default","store":true,"temperature":1.0,` +
		`"text":{"format":{"type":"text"}},"tool_choice":"auto","tools":[],"top_p":1.0,"truncation":"disabled","usage":` +
		usage + `,"user":null,"metadata":{}}`
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
		`,"input_tokens_details":{"cached_tokens":0},"output_tokens":` + strconv.FormatInt(output, 10) +
		`,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":` +
		strconv.FormatInt(promptTokens+output, 10) + `}`
}

// streamResponse sends the events in the order of the real thing, each with its name and number.
func (x *exchange) streamResponse() {
	st := x.openEvents(responseError)
	x.bill(promptTokens, 0)
	event := func(name, fields string) []byte {
		return []byte("event: " + name + "\n" + `data: {"type":"` + name + `","sequence_number":` + strconv.Itoa(st.sent) +
			`,` + fields + "}\n\n")
	}
	place := `"item_id":"msg_` + x.id + `","output_index":0,"content_index":0,`
	text := x.plan.streamed
	message := x.outputMessage("completed", outputText(text))

	begun := `"response":` + x.response("in_progress", "", "null")
	st.send(event("response.created", begun))
	st.send(event("response.in_progress", begun))
	st.send(event("response.output_item.added", `"output_index":0,"item":`+x.outputMessage("in_progress", "")))
	st.send(event("response.content_part.added", place+`"part":`+outputText("")))
	for range x.plan.Chunks {
		st.token(event("response.output_text.delta", place+`"delta":"`+piece+`","logprobs":[]`))
	}
	st.send(event("response.output_text.done", place+`"text":"`+text+`","logprobs":[]`))
	st.send(event("response.content_part.done", place+`"part":`+outputText(text)))
	st.send(event("response.output_item.done", `"output_index":0,"item":`+message))
	ended := x.response("completed", message, responseUsage(int64(x.plan.Chunks)))
	st.send(event("response.completed", `"response":`+ended))
}

func responseError(sent int) []byte {
	return []byte("event: error\n" + `data: {"type":"error","sequence_number":` + strconv.Itoa(sent) +
		`,"code":"server_error","message":"` + sorry + `","param":null}` + "\n\n")
}
