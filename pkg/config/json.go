package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// parseJSON reads one JSON text. JSON is nearly YAML, and the YAML parser would take it, with comments, trailing commas
// and wrong columns after tabs; what is called .json is held to its own grammar.
func parseJSON(data []byte) (value, []fault) {
	r := jsonReader{data: data, dec: json.NewDecoder(bytes.NewReader(data)), line: 1, column: 1}
	r.dec.UseNumber()
	var whole json.RawMessage
	if err := json.Unmarshal(data, &whole); err != nil {
		return value{}, []fault{r.syntax(err)}
	}
	v := r.value()
	return v, r.faults
}

// jsonReader reads tokens of a text that is known to be JSON.
type jsonReader struct {
	data         []byte
	dec          *json.Decoder
	at           int // offset that line and column belong to
	line, column int
	faults       []fault
}

// syntax turns the error of a text that is not JSON into a fault. The library names one character at most.
func (r *jsonReader) syntax(err error) fault {
	var syntax *json.SyntaxError
	if !errors.As(err, &syntax) {
		return fault{1, 1, "is not JSON"}
	}
	r.advance(int(syntax.Offset) - 1)
	said := strings.TrimPrefix(syntax.Error(), "json: ")
	return fault{r.line, r.column, "is not JSON: " + said}
}

// value reads the next value with all that is in it.
func (r *jsonReader) value() value {
	v, token := r.next()
	switch token {
	case json.Delim('['):
		v.kind = isList
		for r.dec.More() {
			v.items = append(v.items, r.value())
		}
		r.next()
	case json.Delim('{'):
		v.kind = isObject
		for r.dec.More() {
			name, _ := r.next()
			r.faults = append(r.faults, v.add(field{name, r.value()})...)
		}
		r.next()
	}
	return v
}

// next reads one token; a scalar is a value already.
func (r *jsonReader) next() (value, json.Token) {
	start := int(r.dec.InputOffset())
	for start < len(r.data) && strings.IndexByte(" \t\r\n,:", r.data[start]) >= 0 {
		start++
	}
	r.advance(start)
	v := value{line: r.line, column: r.column}
	token, err := r.dec.Token()
	if err != nil {
		panic(fmt.Sprintf("config: valid JSON has no next token: %v", err)) // see parseJSON
	}
	switch t := token.(type) {
	case bool:
		v.kind, v.text = isFlag, fmt.Sprint(t)
	case json.Number:
		v.kind, v.text = isNumber, t.String()
	case string:
		v.kind, v.text = isText, t
	}
	return v, token
}

// advance moves line and column to an offset that is not before the last one.
func (r *jsonReader) advance(offset int) {
	part := r.data[r.at:max(r.at, min(offset, len(r.data)))]
	r.at += len(part)
	if n := bytes.Count(part, []byte{'\n'}); n > 0 {
		r.line += n
		r.column = 1
		part = part[bytes.LastIndexByte(part, '\n')+1:]
	}
	r.column += utf8.RuneCount(part)
}
