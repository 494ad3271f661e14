package proxy

import (
	"io"
	"net/http"
	"time"

	"openai-api-proxy/pkg/openai"
)

// Call is one request of a caller, checked and ready to be forwarded any number of times.
type Call struct {
	ID     string // ours, sent back as x-proxy-request-id
	Client *Client
	Op     openai.Operation
	Slots  openai.Slots
	Path   string      // escaped, rebuilt from the operation's template: "/v1/models/gpt-4o"
	Query  string      // raw, without the question mark
	Header http.Header // the caller's; upstream decides what of it goes on
	Body   Body
	Head   openai.Head // what the body asks for
	// Still says of a session whether its caller could open it now, and until when that holds if nothing is configured anew; the
	// zero time: for ever. nil: of no other call.
	Still func() (until time.Time, err error)
	// Explain asks for an account of how the keys were chosen; only an operator may want it.
	Explain bool
}

// Body is a request body. Held bytes can be sent again; what is still to be read from Rest cannot.
type Body struct {
	Held   []byte
	Rest   io.Reader // nil: all of it is held
	Length int64     // of all of it, -1 when unknown
}

// Replayable reports whether another attempt could send the same body.
func (b Body) Replayable() bool { return b.Rest == nil }
