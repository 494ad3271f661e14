package mockopenai

import (
	"slices"
	"strconv"
)

// What every answer says of itself.
const (
	created      = "1741569952" // seconds; fixed, so that answers can be compared
	promptTokens = 19
)

// reply is what an assistant says.
type reply struct {
	message string   // JSON of the message
	deltas  []string // the same as JSON of the deltas of a stream; all but the first, which has the role, are a token
	finish  string   // finish_reason
	tokens  int64    // of the message
}

const (
	firstDelta  = `{"role":"assistant","content":"","refusal":null}`
	messageTail = `,"refusal":null,"annotations":[]}`
)

// plainTalk is the reply to a request that asks for nothing special.
func plainTalk(p *plan) reply {
	deltas := slices.Repeat([]string{`{"content":"` + piece + `"}`}, p.Chunks)
	return reply{
		message: `{"role":"assistant","content":"` + p.text + `"` + messageTail,
		deltas:  slices.Insert(deltas, 0, firstDelta),
		finish:  "stop",
		tokens:  p.tokens,
	}
}

// chat is POST /v1/chat/completions: a call of the first function if there are tools, JSON if that is the format, else
// text.
func (x *exchange) chat() {
	rep := x.plan.talk
	if call, ok := x.toolCall(); ok {
		rep = call
	} else if content, ok := x.formatted(); ok {
		rep = spell(content)
	}
	x.at = created
	if x.ask.doc.Get("store").Bool() {
		x.at = x.s.objects.next()
		x.keep("/v1/chat/completions", `{"id":"chatcmpl-`+x.id+`","object":"chat.completion","created":`+x.at+`,"model":`+x.ask.quoted+
			`,"choices":[{"index":0,"message":`+rep.message+`,"logprobs":null,"finish_reason":"`+rep.finish+`"}]}`, nil)
	}
	if x.ask.stream {
		x.streamChat(rep)
		return
	}
	x.bill(promptTokens, rep.tokens)
	buf := x.s.buffer()
	defer x.s.buffers.Put(buf)
	buf.WriteString(`{"id":"chatcmpl-`)
	buf.WriteString(x.id)
	buf.WriteString(`","object":"chat.completion","created":` + x.at + `,"model":`)
	buf.WriteString(x.ask.quoted)
	buf.WriteString(`,"choices":[{"index":0,"message":`)
	buf.WriteString(rep.message)
	buf.WriteString(`,"logprobs":null,"finish_reason":"`)
	buf.WriteString(rep.finish)
	buf.WriteString(`"}],"usage":`)
	buf.WriteString(chatUsage(rep.tokens))
	buf.WriteString(`,"service_tier":"default","system_fingerprint":"fp_44709d6fcb"}`)
	x.json(buf.Bytes())
}

func (x *exchange) streamChat(rep reply) {
	st := x.openEvents(dataError)
	x.bill(promptTokens, 0)
	buf := x.s.buffer()
	defer x.s.buffers.Put(buf)
	head := `data: {"id":"chatcmpl-` + x.id + `","object":"chat.completion.chunk","created":` + x.at + `,"model":` +
		x.ask.quoted + `,"service_tier":"default","system_fingerprint":"fp_44709d6fcb","choices":[`
	chunk := func(delta, finish string) []byte {
		buf.Reset()
		buf.WriteString(head)
		buf.WriteString(`{"index":0,"delta":`)
		buf.WriteString(delta)
		buf.WriteString(`,"logprobs":null,"finish_reason":`)
		buf.WriteString(finish)
		buf.WriteString(`}]`)
		buf.WriteString(x.nullUsage())
		buf.WriteString("}\n\n")
		return buf.Bytes()
	}
	st.send(chunk(rep.deltas[0], "null"))
	for _, delta := range rep.deltas[1:] {
		st.token(chunk(delta, "null"))
	}
	st.send(chunk("{}", `"`+rep.finish+`"`))
	if x.ask.usage {
		st.send([]byte(head + `],"usage":` + chatUsage(int64(len(rep.deltas)-1)) + "}\n\n"))
	}
	st.send([]byte(doneEvent))
}

// nullUsage is what the chunks before the last say of usage to those who asked for it.
func (x *exchange) nullUsage() string {
	if x.ask.usage {
		return `,"usage":null`
	}
	return ""
}

func chatUsage(output int64) string {
	return `{"prompt_tokens":` + strconv.Itoa(promptTokens) + `,"completion_tokens":` + strconv.FormatInt(output, 10) +
		`,"total_tokens":` + strconv.FormatInt(promptTokens+output, 10) +
		`,"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0,` +
		`"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}`
}

// spell is the reply that says content.
func spell(content string) reply {
	deltas := []string{firstDelta}
	for _, part := range pieces(content) {
		deltas = append(deltas, `{"content":`+quote(part)+`}`)
	}
	return reply{
		message: `{"role":"assistant","content":` + quote(content) + messageTail,
		deltas:  deltas,
		finish:  "stop",
		tokens:  int64(len(deltas) - 1),
	}
}

// pieces cuts s into parts of eight characters.
func pieces(s string) []string {
	var parts []string
	for runes := range slices.Chunk([]rune(s), 8) {
		parts = append(parts, string(runes))
	}
	return parts
}

// toolCall is the call of the first function that the request offers, false if it offers none, wants none, or already
// brings the result of one.
func (x *exchange) toolCall() (reply, bool) {
	doc := x.ask.doc
	function := doc.Get(`tools.#(type=="function").function`)
	if !function.Exists() || doc.Get("tool_choice").String() == "none" {
		return reply{}, false
	}
	if doc.Get("messages.@reverse.0.role").String() == "tool" {
		return reply{}, false
	}
	arguments := "{}"
	if parameters := function.Get("parameters"); parameters.Exists() {
		arguments = sample(parameters)
	}
	call := `"id":"call_` + x.id + `","type":"function","function":{"name":` + quote(function.Get("name").String()) +
		`,"arguments":`
	deltas := []string{`{"role":"assistant","content":null,"tool_calls":[{"index":0,` + call + `""}}],"refusal":null}`}
	for _, part := range pieces(arguments) {
		deltas = append(deltas, `{"tool_calls":[{"index":0,"function":{"arguments":`+quote(part)+`}}]}`)
	}
	return reply{
		message: `{"role":"assistant","content":null,"tool_calls":[{` + call + quote(arguments) + `}}]` + messageTail,
		deltas:  deltas,
		finish:  "tool_calls",
		tokens:  int64(len(deltas) - 1),
	}, true
}

// formatted is the JSON document that response_format asks for, false if it does not.
func (x *exchange) formatted() (string, bool) {
	format := x.ask.doc.Get("response_format")
	switch format.Get("type").String() {
	case "json_schema":
		return sample(format.Get("json_schema.schema")), true
	case "json_object":
		return `{"answer":"text"}`, true
	default:
		return "", false
	}
}
