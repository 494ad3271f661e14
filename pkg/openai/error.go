package openai

import (
	"bytes"
	"encoding/json"

	"github.com/tidwall/gjson"
)

// Error is the content of an error envelope: {"error":{"message","type","param","code"}}.
type Error struct {
	Message string
	Type    string
	Param   string
	Code    string
}

// Body is the envelope. An empty Param or Code is null in it. It is no page, so < and > stay as they are.
func (e Error) Body() []byte {
	type inner struct {
		Message string  `json:"message"`
		Type    string  `json:"type"`
		Param   *string `json:"param"`
		Code    *string `json:"code"`
	}
	var body bytes.Buffer
	to := json.NewEncoder(&body)
	to.SetEscapeHTML(false)
	_ = to.Encode(struct { // strings always encode
		Error inner `json:"error"`
	}{inner{e.Message, e.Type, orNull(e.Param), orNull(e.Code)}})
	return bytes.TrimSuffix(body.Bytes(), []byte("\n"))
}

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// ReadError reads an error body in OpenAI's form, or in those of compatible providers: the envelope in an array, or its
// fields at the top level. What is neither gives the zero Error.
func ReadError(body []byte) Error {
	doc := gjson.ParseBytes(body)
	if doc.IsArray() {
		doc = doc.Get("0")
	}
	e := doc.Get("error")
	if !e.IsObject() {
		if e.Type == gjson.String {
			return Error{Message: e.Str}
		}
		if doc.Get("object").Str != "error" {
			return Error{}
		}
		e = doc
	}
	return Error{Message: e.Get("message").String(), Type: e.Get("type").String(), Param: e.Get("param").String(),
		Code: e.Get("code").String()}
}
