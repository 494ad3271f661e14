package openai

import (
	"bytes"
	"testing"

	"github.com/tidwall/gjson"
)

func TestInjectUsage(t *testing.T) {
	const set = `"stream_options":{"include_usage":true}`
	for _, c := range []struct{ body, want string }{
		{`{}`, `{` + set + `}`},
		{`{"stream":true}`, `{"stream":true,` + set + `}`},
		{" \n{ \"x\" : 1.0e3 }\r\n", " \n{ \"x\" : 1.0e3 ," + set + "}\r\n"},
		{`{ "stream" : true , "stream_options":null}`, `{ "stream" : true , ` + set + `}`},
		{`{"stream_options":{"include_obfuscation":false},"x":1.0e3}`,
			`{"stream_options":{"include_obfuscation":false,"include_usage":true},"x":1.0e3}`},
		{"{\n\t\"stream_options\" : { \"x\" : [ 1 , 2 ] } ,\n\t\"y\": {}\n}",
			"{\n\t\"stream_options\" : { \"x\" : [ 1 , 2 ] ,\"include_usage\":true} ,\n\t\"y\": {}\n}"},
		{`{"stream_options":{}}`, `{` + set + `}`},
		{`{"stream_options":{"include_usage":false}}`, `{` + set + `}`},
		{`{"stream_options":{"include_usage":null}}`, `{` + set + `}`},
		{`{"stream_option\u0073":{"x":1}}`, `{"stream_option\u0073":{"x":1,"include_usage":true}}`},
		{`{"x":{"stream_options":1},"model":"stream_options"}`, `{"x":{"stream_options":1},"model":"stream_options",` +
			set + `}`},
		{`{"stream_options":{},"stream_options":{}}`, ``},
		{`{"stream_options":null,"stream_options":null}`, ``},
		{`{"stream_options":{"include_usage":false,"include_usage":false}}`, ``},
		{`{"stream_options":5}`, ``},
		{`{"stream_options":[]}`, ``},
		{`{"stream":`, ``},
		{`[1]`, ``},
		{``, ``},
	} {
		body := []byte(c.body)
		got, err := InjectUsage(body)
		if string(got) != c.want || (err != nil) != (c.want == "") {
			t.Errorf("%q became %q, %v, want %q", c.body, got, err, c.want)
		}
		if string(body) != c.body {
			t.Errorf("%q itself became %q", c.body, body)
		}
	}
}

// A patched body asks for usage, and says for the rest what it said.
func FuzzInjectUsage(f *testing.F) {
	for _, s := range []string{`{"stream":true}`, `{"stream_options":{"a":[]}} `, `{"stream_option\u0073":null}`,
		`{"a":"}","stream_options":{"include_usag\u0065":1}}`, `{"":{},"":{}}`, `{"a":}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		before := bytes.Clone(body)
		patched, err := InjectUsage(body)
		if !bytes.Equal(before, body) {
			t.Error("the body changed")
		}
		if err != nil {
			return
		}
		if h := ReadHead(patched); !h.Readable || !h.IncludeUsage {
			t.Errorf("%q became %q", body, patched)
		}
		if got, want := others(patched), others(body); got != want {
			t.Errorf("%q became %q", want, got)
		}
	})
}

// others are the members of a body but for stream_options, as they were written.
func others(body []byte) (text string) {
	gjson.ParseBytes(body).ForEach(func(key, value gjson.Result) bool {
		if key.String() != "stream_options" {
			text += key.Raw + value.Raw
		}
		return true
	})
	return text
}
