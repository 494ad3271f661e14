package mockopenai_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/tidwall/gjson"
)

func TestChat(t *testing.T) {
	u := start(t)
	a := u.post(chatPath, `{"model":"my \"model\"","messages":[]}`)
	if !gjson.ValidBytes(a.body) {
		t.Fatalf("not JSON: %s", a.body)
	}
	equal(t, "model", a.get("model").String(), `my "model"`)
	equal(t, "object", a.get("object").String(), "chat.completion")
	equal(t, "text", len(a.get("choices.0.message.content").String()), 400)
	equal(t, "finish_reason", a.get("choices.0.finish_reason").String(), "stop")
	equal(t, "total_tokens", a.get("usage.total_tokens").Int(), 119)
	equal(t, "length near 1 KiB", len(a.body) > 700 && len(a.body) < 1300, true)
	s := u.Stats()[testKey]
	equal(t, "billed", [2]int64{s.InputTokens, s.OutputTokens}, [2]int64{19, 100})
}

func TestChatStream(t *testing.T) {
	u := start(t, few(3))
	a := u.post(chatPath, counted)
	data, names := a.events()
	wellFormed(t, data)
	equal(t, "names", len(names), 0)
	equal(t, "events", len(data), 1+3+1+1+1)
	equal(t, "role", gjson.Get(data[0], "choices.0.delta.role").String(), "assistant")
	for _, d := range data[1:4] {
		equal(t, "text", gjson.Get(d, "choices.0.delta.content").String(), " token")
	}
	equal(t, "finish_reason", gjson.Get(data[4], "choices.0.finish_reason").String(), "stop")
	for _, d := range data[:5] {
		equal(t, "usage before the end", gjson.Get(d, "usage").Raw, "null")
		equal(t, "model", gjson.Get(d, "model").String(), "gpt-4o")
	}
	equal(t, "choices beside usage", gjson.Get(data[5], "choices").Raw, "[]")
	equal(t, "completion_tokens", gjson.Get(data[5], "usage.completion_tokens").Int(), 3)
	equal(t, "end", data[6], "[DONE]")
	s := u.Stats()[testKey]
	equal(t, "billed", [2]int64{s.InputTokens, s.OutputTokens}, [2]int64{19, 3})
	equal(t, "streams", s.Streams, 1)

	data, _ = u.post(chatPath, streamed).events()
	equal(t, "events when usage was not asked for", len(data), 6)
	equal(t, "usage that was not asked for", gjson.Get(data[0], "usage").Exists(), false)
}

const (
	tools = `"tools":[{"type":"custom"},{"type":"function","function":{"name":"weather","parameters":
		{"type":"object","properties":{"city":{"type":"string"},"days":{"type":"integer"}},"required":["city","days"]}}}]`
	arguments = `{"city":"text","days":1}`
)

func TestChatCallsTools(t *testing.T) {
	u := start(t)
	a := u.post(chatPath, `{"model":"m","messages":[{"role":"user"}],`+tools+`}`)
	call := a.get("choices.0.message.tool_calls.0")
	equal(t, "name", call.Get("function.name").String(), "weather")
	equal(t, "arguments", call.Get("function.arguments").String(), arguments)
	equal(t, "finish_reason", a.get("choices.0.finish_reason").String(), "tool_calls")
	equal(t, "id", strings.HasPrefix(call.Get("id").String(), "call_"), true)

	data, _ := u.post(chatPath, `{"model":"m","stream":true,"messages":[],`+tools+`}`).events()
	wellFormed(t, data)
	var got strings.Builder
	for _, d := range data {
		got.WriteString(gjson.Get(d, "choices.0.delta.tool_calls.0.function.arguments").String())
	}
	equal(t, "streamed arguments", got.String(), arguments)
	equal(t, "streamed name", gjson.Get(data[0], "choices.0.delta.tool_calls.0.function.name").String(), "weather")
	equal(t, "streamed end", gjson.Get(data[len(data)-2], "choices.0.finish_reason").String(), "tool_calls")

	for _, told := range []string{
		`"messages":[{"role":"user"},{"role":"tool","content":"rain"}]`, `"messages":[],"tool_choice":"none"`,
	} {
		a := u.post(chatPath, `{"model":"m",`+told+`,`+tools+`}`)
		equal(t, "finish_reason after "+told, a.get("choices.0.finish_reason").String(), "stop")
	}
}

func TestChatFormats(t *testing.T) {
	u := start(t)
	schema := func(s string) string {
		return `{"model":"m","messages":[],"response_format":{"type":"json_schema","json_schema":{"schema":` + s + `}}}`
	}
	for given, want := range map[string]string{
		`{"type":"object","properties":{"a":{"type":"string"},"b":{"type":"integer"},"c":{"type":"number"},
			"d":{"type":"boolean"},"e":{"type":"array"},"f":{"type":"string"}},
			"required":["a","b","c","d","e"]}`: `{"a":"text","b":1,"c":1.5,"d":true,"e":[]}`,
		`{"type":"object","properties":{"o":{"type":"object","properties":{"x":{"enum":["red","blue"]}},
			"required":["x"]}},"required":["o"]}`: `{"o":{"x":"red"}}`,
		`{"type":"object","properties":{"p":{"$ref":"#/$defs/Point"},"n":{"type":["string","null"]},
			"m":{"anyOf":[{"type":"null"},{"type":"string"}]},"k":{"const":7}},"required":["p","n","m","k"],
			"$defs":{"Point":{"type":"object","properties":{"x":{"type":"number"}},
			"required":["x"]}}}`: `{"p":{"x":1.5},"n":"text","m":null,"k":7}`,
	} {
		content := u.post(chatPath, schema(given)).get("choices.0.message.content").String()
		equal(t, given, content, want)
	}
	endless := `{"type":"object","properties":{"next":{"$ref":"#"}},"required":["next"]}`
	if c := u.post(chatPath, schema(endless)).get("choices.0.message.content").String(); !gjson.Valid(c) {
		t.Errorf("a schema that contains itself gives %q", c)
	}

	object := `{"model":"m","messages":[],"stream":true,"response_format":{"type":"json_object"}}`
	data, _ := u.post(chatPath, object).events()
	var got strings.Builder
	for _, d := range data {
		got.WriteString(gjson.Get(d, "choices.0.delta.content").String())
	}
	equal(t, "streamed object", got.String(), `{"answer":"text"}`)
}

func TestCompletions(t *testing.T) {
	u := start(t, few(2))
	a := u.post("/v1/completions", `{"model":"gpt-3.5-turbo-instruct","prompt":"a"}`)
	equal(t, "object", a.get("object").String(), "text_completion")
	equal(t, "text", len(a.get("choices.0.text").String()), 400)
	equal(t, "total_tokens", a.get("usage.total_tokens").Int(), 119)

	data, _ := u.post("/v1/completions", counted).events()
	wellFormed(t, data)
	equal(t, "events", len(data), 2+1+1+1)
	equal(t, "text", gjson.Get(data[0], "choices.0.text").String(), " token")
	equal(t, "usage before the end", gjson.Get(data[2], "usage").Raw, "null")
	equal(t, "completion_tokens", gjson.Get(data[3], "usage.completion_tokens").Int(), 2)
}

func TestResponses(t *testing.T) {
	u := start(t, few(2))
	a := u.post("/v1/responses", `{"model":"gpt-4.1","input":"a"}`)
	equal(t, "object", a.get("object").String(), "response")
	equal(t, "status", a.get("status").String(), "completed")
	equal(t, "text", len(a.get("output.0.content.0.text").String()), 400)
	equal(t, "total_tokens", a.get("usage.total_tokens").Int(), 119)
	equal(t, "a model named by a stored prompt", u.post("/v1/responses", `{}`).get("model").String(), "gpt-4o-mini")
}

func TestResponsesStream(t *testing.T) {
	u := start(t, few(2))
	data, names := u.post("/v1/responses", `{"model":"gpt-4.1","input":"a","stream":true}`).events()
	wellFormed(t, data)
	want := []string{
		"response.created", "response.in_progress", "response.output_item.added", "response.content_part.added",
		"response.output_text.delta", "response.output_text.delta", "response.output_text.done",
		"response.content_part.done", "response.output_item.done", "response.completed",
	}
	if !slices.Equal(names, want) {
		t.Fatalf("events %q, want %q", names, want)
	}
	for i, d := range data {
		equal(t, "type", gjson.Get(d, "type").String(), names[i])
		equal(t, "sequence_number", gjson.Get(d, "sequence_number").Raw, strconv.Itoa(i))
	}
	equal(t, "text", gjson.Get(data[9], "response.output.0.content.0.text").String(), " token token")
	equal(t, "output_tokens", gjson.Get(data[9], "response.usage.output_tokens").Int(), 2)
	equal(t, "usage before the end", gjson.Get(data[0], "response.usage").Raw, "null")
}

func TestDecisionsAndModels(t *testing.T) {
	u := start(t)
	a := u.post("/v1/decisions", `{"input":{"a":[1, 2]}}`)
	equal(t, "decision", string(a.body), `{"object":"decision","input":{"a":[1, 2]}}`)
	a = u.post("/v1/decisions", `{}`)
	equal(t, "decision on nothing", string(a.body), `{"object":"decision","input":null}`)

	list := u.get("/v1/models")
	equal(t, "object", list.get("object").String(), "list")
	for _, id := range list.get("data.#.id").Array() {
		a := u.get("/v1/models/" + id.String())
		equal(t, "id", a.get("id").String(), id.String())
	}
	u.do(u.request("HEAD", "/v1/models", ""), 200)
	u.do(u.request("HEAD", "/v1/models/gpt-4o", ""), 200)
}
