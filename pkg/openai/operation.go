package openai

import "net/http"

// Operation is one entry of the operation table.
type Operation struct {
	Method string
	Path   string // template: "/v1/models/{model}"
	Model  ModelIn
	Repeat Repeat
}

// Free reports whether nobody pays for the operation: it reads, deletes, or only counts.
func (o Operation) Free() bool {
	return o.Method == http.MethodGet || o.Method == http.MethodHead || o.Method == http.MethodDelete || o.Path == "/v1/responses/input_tokens"
}

// ModelIn says where an operation names its model.
type ModelIn uint8

// The places.
const (
	NoModel ModelIn = iota
	ModelInJSON
	ModelInForm // multipart/form-data; some of these operations also take JSON
	ModelInPath // the slot named {model}
)

// Repeat says after which outcomes an operation may be sent to another key.
type Repeat uint8

// The rules.
const (
	RepeatUnlessRefused Repeat = iota // inference and reads: also when the first attempt may have been carried out
	RepeatAfter5xx                    // creates something small: after an answer of 5xx, never after silence
	RepeatNever                       // batches, fine-tunes, videos, background work: only if certainly not executed
)
