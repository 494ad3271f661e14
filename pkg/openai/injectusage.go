package openai

import (
	"bytes"
	"errors"
	"slices"

	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"
)

// errUnpatched is all that is said of a body that InjectUsage leaves alone: nobody is to blame for it.
var errUnpatched = errors.New("stream_options cannot be set in this body")

// InjectUsage sets stream_options.include_usage in a request body and leaves every other byte as it is. It fails, and
// then returns no body, on what is not a well-formed object and where it could not tell which of two members counts.
func InjectUsage(body []byte) ([]byte, error) {
	text := view(body)
	if !isDocument(text) {
		return nil, errUnpatched
	}
	options, found := member(gjson.Parse(text), "stream_options")
	within := 0
	if options.IsObject() {
		_, within = member(options, "include_usage")
	}
	if found > 1 || within > 1 {
		return nil, errUnpatched
	}
	// sjson drops the space around the document.
	start, end := bytes.IndexByte(body, '{'), bytes.LastIndexByte(body, '}')+1
	var patched []byte
	var err error
	switch {
	case options.Type == gjson.Null: // or absent
		patched, err = sjson.SetRawBytes(body[start:end], "stream_options", []byte(`{"include_usage":true}`))
	case options.IsObject():
		patched, err = sjson.SetBytes(body[start:end], "stream_options.include_usage", true)
	default:
		err = errUnpatched
	}
	if err != nil {
		return nil, err
	}
	return slices.Concat(body[:start], patched, body[end:]), nil
}

// member is the last member of that name, and how many there are.
func member(object gjson.Result, name string) (last gjson.Result, found int) {
	object.ForEach(func(key, value gjson.Result) bool {
		if key.String() == name {
			last = value
			found++
		}
		return true
	})
	return last, found
}
