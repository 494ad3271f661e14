package mockopenai

import (
	"bytes"
	"encoding/json"
	"io"
	"mime"
	"mime/multipart"
	"strings"

	"github.com/tidwall/gjson"
)

// ask is what a request body asks for.
type ask struct {
	model  string
	quoted string // model as JSON
	stream bool
	usage  bool              // stream_options.include_usage
	later  bool              // background
	after  string            // previous_response_id as JSON
	doc    gjson.Result      // a JSON body; empty if it was only peeked at
	form   map[string]string // fields of a form; nil if the body is none
	files  map[string]int64  // sizes of the files of a form, by field
	held   []byte            // the last of them, if the operation stores it
	name   string            // what that is called
}

// text is a field of the body, JSON or form.
func (a *ask) text(name string) string {
	if a.form != nil {
		return a.form[name]
	}
	return a.doc.Get(name).String()
}

// peekOver is the size from which lean operations only peek at a body, and peekEnd how much of each end they see.
const (
	peekOver = 64 << 10
	peekEnd  = 2 << 10
)

func readAsk(contentType string, body []byte, op operation) (ask, *refusal) {
	if strings.HasPrefix(contentType, "multipart/form-data") {
		return readForm(contentType, body, op.keeps)
	}
	if op.lean && len(body) > peekOver {
		return peek(body), nil
	}
	if !gjson.ValidBytes(body) {
		return ask{}, badRequest("", "We could not parse the JSON body of your request.")
	}
	return readJSON(body), nil
}

// readJSON goes over the top level once. Of a field given twice the last counts.
func readJSON(body []byte) ask {
	a := ask{doc: gjson.ParseBytes(body)}
	a.doc.ForEach(func(name, value gjson.Result) bool {
		switch name.Str {
		case "model":
			a.model, a.quoted = value.String(), value.Raw
		case "stream":
			a.stream = value.Bool()
		case "stream_options":
			a.usage = value.Get("include_usage").Bool()
		case "background":
			a.later = value.Bool()
		case "previous_response_id":
			a.after = value.Raw
		}
		return true
	})
	return a
}

// peek guesses from both ends of a body what it asks for: to decode 10 MB would cost more than the proxy under test
// does. It sees neither tools nor response_format, and calls a model it does not see gpt-4o-mini.
func peek(body []byte) ask {
	ends := make([]byte, 0, 2*peekEnd)
	ends = append(ends, body[:peekEnd]...)
	ends = append(ends, body[len(body)-peekEnd:]...)
	ends = bytes.ReplaceAll(ends, []byte(" "), nil)
	a := ask{
		model:  "gpt-4o-mini",
		stream: bytes.Contains(ends, []byte(`"stream":true`)),
		usage:  bytes.Contains(ends, []byte(`"include_usage":true`)),
	}
	if _, after, ok := bytes.Cut(ends, []byte(`"model":"`)); ok {
		if name, _, ok := bytes.Cut(after, []byte(`"`)); ok {
			a.model = string(name)
		}
	}
	a.quoted = quote(a.model)
	return a
}

func readForm(contentType string, body []byte, keeps bool) (ask, *refusal) {
	bad := badRequest("", "Could not parse multipart form")
	_, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return ask{}, bad
	}
	a := ask{form: map[string]string{}, files: map[string]int64{}}
	parts := multipart.NewReader(bytes.NewReader(body), params["boundary"])
	for {
		part, err := parts.NextPart()
		if err == io.EOF {
			break
		}
		if err != nil || a.take(part, keeps) != nil {
			return ask{}, bad
		}
	}
	a.model, a.quoted = a.form["model"], quote(a.form["model"])
	a.stream = a.form["stream"] == "true"
	return a, nil
}

// take reads one part of a form. Of a file the size is kept, and all of it where it is to be stored: one that is too large for that
// is refused by its size, see tooMuch.
func (a *ask) take(part *multipart.Part, keeps bool) error {
	name := strings.TrimSuffix(part.FormName(), "[]")
	if part.FileName() != "" {
		a.held, a.name = nil, part.FileName()
		if keeps {
			var err error
			if a.held, err = io.ReadAll(io.LimitReader(part, mostHeld)); err != nil {
				return err
			}
		}
		n, err := io.Copy(io.Discard, part)
		a.files[name] += n + int64(len(a.held))
		return err
	}
	value, err := io.ReadAll(part)
	a.form[name] = string(value)
	return err
}

// quote writes s as JSON.
func quote(s string) string {
	b, _ := json.Marshal(s) // a string always marshals
	return string(b)
}
