package upstream

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
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
	cancel context.CancelCauseFunc

	body      source
	quiet     quiet
	connected bool
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
func (a *Answer) Forward(w http.ResponseWriter, how Forwarding) *Delivered {
	d := &a.delivered
	d.Verdict = a.Verdict
	if a.socket != nil {
		a.bridge(w, how, d)
		return d
	}
	a.copyHeader(w.Header())
	if a.held != nil {
		a.writeHeld(w, how, d)
		return d
	}
	if n := a.resp.ContentLength; n >= 0 && !how.HideUsage {
		w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
	}
	w.WriteHeader(a.resp.StatusCode)
	if how.Head {
		return d
	}
	if a.isStream() && !a.begun() {
		_ = http.NewResponseController(w).Flush() // the caller need not wait for the first event to know that there will be some
	}
	a.stream(w, how, d)
	return d
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

// stream copies the body: whatever one read returned goes out in one write, and in one flush where the caller waits for
// events. The tap reads beside the bytes, so that an event which we cannot read costs us its usage and the caller nothing.
func (a *Answer) stream(w http.ResponseWriter, how Forwarding, d *Delivered) {
	tap := a.client.taps.Get().(*openai.Tap)
	defer a.client.taps.Put(tap)
	tap.Reset(a.contentType())
	out := newOutlet(w, a.client.opts.WriteTimeout, a.resp.ContentLength < 0 || a.isStream(), a.resp.ContentLength)
	defer out.done()
	if how.HideUsage {
		out.filter = new(openai.UsageFilter)
	}
	var watch io.Writer
	if how.Watch != nil {
		watch = how.Watch(a.contentType())
	}
	readErr, writeErr := a.pump(out, tap, watch)
	a.read(d, out, tap)
	a.ended(&d.Verdict, tap, readErr, writeErr)
}

// read says what was read of the answer, and how much of it the caller has.
func (a *Answer) read(d *Delivered, out *outlet, tap *openai.Tap) {
	d.Bytes, d.FirstByte = out.bytes, out.first
	d.Deltas = tap.Deltas()
	if usage, ok := tap.Usage(); ok {
		d.Usage = usage
	}
}

// pump moves bytes until one side ends. io.EOF from the upstream is a nil readErr.
func (a *Answer) pump(out *outlet, tap *openai.Tap, watch io.Writer) (readErr, writeErr error) {
	a.quiet.within(a.client.opts.IdleTimeout)
	for {
		buf, n, err := a.next()
		if err == io.EOF && a.delimited() {
			out.leave()
		}
		if n > 0 {
			tap.Write((*buf)[:n])
			if watch != nil {
				watch.Write((*buf)[:n])
			}
			writeErr = out.write((*buf)[:n])
		}
		a.buffers().Put(buf)
		switch {
		case writeErr != nil:
			return nil, writeErr
		case err == io.EOF:
			return nil, out.finish()
		case err != nil && a.isStream():
			_ = out.show()
			return err, nil
		case err != nil:
			return err, nil
		}
	}
}

// next reads what comes next. A stream has no buffer while nothing comes, which is nearly always: an empty read of a body in
// chunks, or of HTTP/2, waits for bytes that are there to be read, and that of another one does not wait.
func (a *Answer) next() (buf *[]byte, n int, err error) {
	a.quiet.wait()
	if a.isStream() {
		_, err = a.resp.Body.Read(nil)
	}
	buf = a.buffers().Get().(*[]byte)
	if err == nil {
		n, err = a.resp.Body.Read(*buf)
	}
	a.quiet.heard() // while the caller takes its time, the upstream is not silent
	return buf, n, err
}

func (a *Answer) buffers() *sync.Pool {
	if a.isStream() {
		return &a.client.small
	}
	return &a.client.buffers
}

// ended says in the verdict how a forwarded body ended.
func (a *Answer) ended(v *proxy.Verdict, tap *openai.Tap, readErr, writeErr error) {
	ctx := a.resp.Request.Context()
	switch {
	case writeErr != nil:
		v.Outcome, v.Err = proxy.CallerGone, writeErr
	case readErr != nil && ctx.Err() != nil && !errors.Is(context.Cause(ctx), errIdle):
		v.Outcome, v.Err = proxy.CallerGone, context.Cause(ctx)
	case readErr != nil && ctx.Err() != nil:
		v.Outcome, v.Err = proxy.StreamCut, errIdle
	case readErr != nil:
		v.Outcome, v.Err = proxy.StreamCut, readErr
	case a.isStream() && !a.delimited() && !tap.Ended():
		v.Outcome, v.Err = proxy.StreamCut, io.ErrUnexpectedEOF
	case tap.Failed():
		// The upstream told of its failure and ended the stream as it should: the caller has the event, and nothing is cut.
		v.Outcome, v.Err, v.Whole = proxy.StreamCut, errors.New("the upstream reported an error inside the stream"), true
	}
}

func (a *Answer) contentType() string { return a.resp.Header.Get("Content-Type") }

func (a *Answer) isStream() bool { return strings.HasPrefix(a.contentType(), "text/event-stream") }

// delimited reports whether the end of the body is told apart from a lost connection: by a length, by chunks, by HTTP/2.
func (a *Answer) delimited() bool {
	return a.resp.ContentLength >= 0 || len(a.resp.TransferEncoding) > 0 || a.resp.ProtoMajor >= 2
}
