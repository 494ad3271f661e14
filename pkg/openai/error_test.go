package openai

import (
	"encoding/json"
	"testing"
	"unicode/utf8"
)

func TestReadError(t *testing.T) {
	for body, want := range map[string]Error{
		`{"error":{"message":"m","type":"t","param":"p","code":"c"}}`: {"m", "t", "p", "c"},
		`{"error":{"message":"m","param":null,"code":null}}`:          {Message: "m"},
		`{"error":{"message":"m","code":429}}`:                        {Message: "m", Code: "429"},
		`[{"error":{"message":"m","code":400,"status":"X"}}]`:         {Message: "m", Code: "400"},
		`{"object":"error","message":"m","type":"t","code":"1300"}`:   {"m", "t", "", "1300"},
		`{"object":"error","error":null,"message":"m"}`:               {Message: "m"},
		`{"error":"m"}`:        {Message: "m"},
		`{"error":null}`:       {},
		`{"error":["m"]}`:      {},
		`{"message":"m"}`:      {},
		`[]`:                   {},
		`"error"`:              {},
		`<html>error</html>`:   {},
		`{"error":{"message":`: {},
		``:                     {},
	} {
		if got := ReadError([]byte(body)); got != want {
			t.Errorf("%s is %+v, want %+v", body, got, want)
		}
	}
}

func TestErrorBody(t *testing.T) {
	for want, e := range map[string]Error{
		`{"error":{"message":"m","type":"t","param":null,"code":null}}`: {Message: "m", Type: "t"},
		`{"error":{"message":"m","type":"t","param":"p","code":"c"}}`:   {"m", "t", "p", "c"},
		`{"error":{"message":"\"","type":"","param":null,"code":null}}`: {Message: `"`},
	} {
		if got := string(e.Body()); got != want {
			t.Errorf("%+v is %s, want %s", e, got, want)
		}
	}
}

// What was read can be written, and is then read as the same.
func FuzzReadError(f *testing.F) {
	for _, s := range []string{`{"error":{"message":"<\u0000>","code":1e3}}`, `[{"error":{}}]`, `{"object":"error"}`,
		`{"error":`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		e := ReadError(body)
		written := e.Body()
		if !json.Valid(written) {
			t.Fatalf("%+v is written as %s", e, written)
		}
		if utf8.Valid(body) && utf8.ValidString(e.Message+e.Type+e.Param+e.Code) && ReadError(written) != e {
			t.Errorf("%+v is written as %s", e, written)
		}
	})
}
