package openai

import (
	"net/url"
	"strings"
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

// QuerySays reports whether a query has the parameter once, with the value.
func QuerySays(query, name, value string) bool {
	values, err := url.ParseQuery(query)
	return err == nil && len(values[name]) == 1 && values.Get(name) == value
}
