package upstream

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"openai-api-proxy/pkg/openai"
	"openai-api-proxy/pkg/proxy"
)

var (
	errIdle   = errors.New("the upstream was silent for too long")
	errSilent = errors.New("the upstream sent no headers in time")
	errClosed = errors.New("the attempt is over")
)

// Answer is what one attempt brought. Verdict is final for an answer that is not a stream; Forward may still find that it
// ended early.
type Answer struct {
	Verdict proxy.Verdict

	client *Client
	resp   *http.Response     // nil: there was no answer
	held   []byte             // the body of a failure
	socket io.ReadWriteCloser // the connection itself, once the upstream switched to WebSocket

	attempt attempt                 // the context of one by http1
	cease   context.CancelCauseFunc // nil: it is that
	ctx     context.Context         // of the other

	body      source
	quiet     quiet
	connected bool
	out       outlet
	delivered Delivered
}

// Answered reports whether there is an answer that could be passed on.
func (a *Answer) Answered() bool { return a.resp != nil }

// RequestID is the upstream's name for the request.
func (a *Answer) RequestID() string {
	if a.resp == nil {
		return ""
	}
	return a.resp.Header.Get("X-Request-Id")
}

// cancel ends the attempt.
func (a *Answer) cancel(why error) {
	if a.cease != nil {
		a.cease(why)
		return
	}
	a.attempt.end(context.Canceled, why)
}

func (a *Answer) follow() {
	if a.cease == nil {
		a.attempt.follow()
	}
}

// cause is why the attempt has ended; nil: it goes on.
func (a *Answer) cause() error {
	if a.cease != nil {
		return context.Cause(a.ctx)
	}
	return a.attempt.Cause()
}

// Close ends the attempt; an answer that is still running is cancelled at the upstream.
func (a *Answer) Close() {
	a.quiet.end()
	a.cancel(errClosed)
	if a.resp != nil {
		a.resp.Body.Close()
	}
}

// Switched reports whether the upstream has begun a session.
func (a *Answer) Switched() bool { return a.socket != nil }

// End ends a session that goes on: both sides are closed with 1008, and the reason.
func (a *Answer) End(why error) { a.cancel(refusal{refused, why}) }

// Forwarding says how an answer is to be passed on.
type Forwarding struct {
	HideUsage bool // the caller did not ask for the usage that we asked for
	Head      bool // the caller asked for the headers only
	// Watch makes a reader of the body, by its content type, that sees all bytes before the caller does; nil for none.
	Watch func(contentType string) io.Writer
	// Gate decides of each text message in a session whether the upstream may have it; an error ends the session, and its text
	// goes to the caller, unless it is an Unsaid. Messages are held until they are whole, and binary ones are refused. nil: all
	// may pass as they come.
	Gate func(text []byte) error
	// Hear is told what the upstream's events say of a session as they come, before the caller has them; an error ends it like one
	// of Gate. nil: nobody wants to know before its end.
	Hear func(openai.Told) error
}

// Delivered says what reached the caller.
type Delivered struct {
	Verdict   proxy.Verdict // how it ended: as before, StreamCut or CallerGone
	Usage     openai.Usage  // as the upstream said it; Basis NoUsage when it did not
	Deltas    int64         // stream events that carried output
	Bytes     int64
	FirstByte time.Time // zero: no byte was written
	Model     string    // that a session says it used
	Session   *proxy.Session
}

// Forward passes the answer to the caller. It returns when the answer has ended, one way or the other; a cut answer must
// not be ended cleanly by whoever owns w. A stream waits below here for minutes: what is large lies in the heap, since the
// next size of a stack is twice as much.
func (a *Answer) Forward(w http.ResponseWriter, how *Forwarding) *Delivered {
	d := &a.delivered
	d.Verdict = a.Verdict
	if a.socket != nil {
		a.bridge(w, how, d)
		return d
	}
	if ended := a.head(w, how, d); ended {
		return d
	}
	f := a.flow(w, how)
	readErr, writeErr := f.pump()
	f.settle(d, readErr, writeErr)
	return d
}

// head writes the head of the answer, and reports whether that was all: there is no body, or it was held and is written, too.
//
//go:noinline
func (a *Answer) head(w http.ResponseWriter, how *Forwarding, d *Delivered) (ended bool) {
	a.copyHeader(w.Header())
	if a.held != nil {
		a.writeHeld(w, how, d)
		return true
	}
	if n := a.resp.ContentLength; n >= 0 && !how.HideUsage {
		w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
	}
	w.WriteHeader(a.resp.StatusCode)
	if !how.Head && a.isStream() && !a.begun() {
		_ = http.NewResponseController(w).Flush() // the caller need not wait for the first event to know that there will be some
	}
	return how.Head
}

// begun reports whether the first bytes of the body are there already.
func (a *Answer) begun() bool {
	body, tells := a.resp.Body.(interface{ Begun() bool })
	return tells && body.Begun()
}

func (a *Answer) copyHeader(to http.Header) {
	copyHeader(to, a.resp.Header, theirs, theirsByPrefix)
	if a.isStream() {
		to.Set("X-Accel-Buffering", "no") // nginx in front of us would otherwise collect events before it passes them on
	}
	if a.resp.StatusCode >= 300 && a.resp.StatusCode < 400 {
		return
	}
	to.Del("Location") // would name the upstream
}

func (a *Answer) contentType() string { return a.resp.Header.Get("Content-Type") }

func (a *Answer) isStream() bool { return strings.HasPrefix(a.contentType(), "text/event-stream") }

// delimited reports whether the end of the body is told apart from a lost connection: by a length, by chunks, by HTTP/2.
func (a *Answer) delimited() bool {
	return a.resp.ContentLength >= 0 || len(a.resp.TransferEncoding) > 0 || a.resp.ProtoMajor >= 2
}
