package openai

import (
	"net/url"
	"strings"

	"github.com/tidwall/gjson"
)

// ReadQueryHead reads what the query of a WebSocket asks for: its model. One that is given twice is doubled, whichever of the
// two the upstream takes.
func ReadQueryHead(query string) Head {
	values, err := url.ParseQuery(query)
	h := Head{Readable: err == nil, Stream: true}
	if all := values["model"]; len(all) > 0 {
		h.Model, h.Doubled = strings.Clone(all[len(all)-1]), len(all) > 1
	}
	return h
}

// QueryNames reports whether a query has a parameter of that name, or cannot be read.
func QueryNames(query, name string) bool {
	values, err := url.ParseQuery(query)
	return err != nil || values.Has(name)
}

// ReadEventHeads reads what an event of a WebSocket session asks for: at its top, and in the response or the session that is in
// it. create reports whether it asks for an answer.
func ReadEventHeads(event []byte) (heads []Head, create bool) {
	heads = []Head{ReadHead(event)}
	gjson.Parse(view(event)).ForEach(func(key, value gjson.Result) bool {
		switch key.String() {
		case "type":
			create = create || value.Str == createsResponse
		case "response", "session":
			if value.IsObject() {
				heads = append(heads, ReadHead([]byte(value.Raw)))
			}
		}
		return true
	})
	return heads, create
}

// createsResponse is the type of the event that asks for an answer.
const createsResponse = "response.create"

// AsksForResponse reports whether an event of a caller asks for an answer, whichever of two types in it the upstream takes.
func AsksForResponse(event []byte) (asks bool) {
	gjson.Parse(view(event)).ForEach(func(key, value gjson.Result) bool {
		asks = key.String() == "type" && value.Str == createsResponse
		return !asks
	})
	return asks
}
