package upstream

import (
	"errors"
	"io"
	"net/http"
	"sync"

	"openai-api-proxy/pkg/http1"
	"openai-api-proxy/pkg/openai"
	"openai-api-proxy/pkg/proxy"
)

// flow is a body on its way to the caller: whatever one read returned goes out in one write, and in one flush where the caller
// waits for events. The tap reads beside the bytes, so that an event which we cannot read costs us its usage and the caller
// nothing. What it needs lies in the heap, and is made and settled beside the pump, not above it on the stack.
type flow struct {
	*Answer
	tap   *openai.Tap
	watch io.Writer // nil: nobody does
}

//go:noinline
func (a *Answer) flow(w http.ResponseWriter, how *Forwarding) *flow {
	f := &flow{Answer: a, tap: a.client.taps.Get().(*openai.Tap)}
	f.out.open(w, a.client.opts.WriteTimeout, a.resp.ContentLength < 0 || a.isStream(), a.resp.ContentLength)
	f.tap.Reset(a.contentType())
	if how.HideUsage {
		f.out.filter = new(openai.UsageFilter)
	}
	if how.Watch != nil {
		f.watch = how.Watch(a.contentType())
	}
	return f
}

// settle ends the flow and says what was delivered.
//
//go:noinline
func (f *flow) settle(d *Delivered, readErr, writeErr error) {
	f.out.done()
	d.Bytes, d.FirstByte = f.out.bytes, f.out.first
	d.Deltas = f.tap.Deltas()
	if usage, ok := f.tap.Usage(); ok {
		d.Usage = usage
	}
	f.ended(&d.Verdict, f.tap, readErr, writeErr)
	f.client.taps.Put(f.tap)
}

// pump moves bytes until one side ends. io.EOF from the upstream is a nil readErr.
func (f *flow) pump() (readErr, writeErr error) {
	for {
		buf, n, err := f.next()
		if err == io.EOF && f.delimited() {
			f.out.leave()
		}
		if n > 0 {
			f.tap.Write((*buf)[:n])
			if f.watch != nil {
				f.watch.Write((*buf)[:n])
			}
			writeErr = f.out.send(f.out.filtered((*buf)[:n]))
		}
		f.buffers().Put(buf)
		switch {
		case writeErr != nil:
			return nil, writeErr
		case err == io.EOF:
			return nil, f.out.finish()
		case err != nil && f.isStream():
			_ = f.out.show()
			return err, nil
		case err != nil:
			return err, nil
		}
	}
}

// next reads what comes next. A stream has no buffer while nothing comes, which is nearly always: it is taken when there is
// something to be read, or behind an empty read, which waits for that with HTTP/2 and with chunks of the standard transport.
func (a *Answer) next() (buf *[]byte, n int, err error) {
	a.quiet.wait()
	if body, lends := a.resp.Body.(lender); lends {
		buf, n, err = body.Next(a.buffers())
	} else {
		if a.isStream() {
			_, err = a.resp.Body.Read(nil)
		}
		buf = a.buffers().Get().(*[]byte)
		if err == nil {
			n, err = a.resp.Body.Read(*buf)
		}
	}
	a.quiet.heard() // while the caller takes its time, the upstream is not silent
	return buf, n, err
}

// buffers are those to read into: of a stream no larger than what the server writes at once.
func (a *Answer) buffers() *sync.Pool {
	if a.isStream() {
		return &a.client.small
	}
	return &a.client.buffers
}

// lender is a body that takes its buffers out of a pool, and late.
type lender interface {
	Next(lend http1.Lender) (buf *[]byte, n int, err error)
}

// ended says in the verdict how a forwarded body ended.
func (a *Answer) ended(v *proxy.Verdict, tap *openai.Tap, readErr, writeErr error) {
	cause := a.cause()
	switch {
	case writeErr != nil:
		v.Outcome, v.Err = proxy.CallerGone, writeErr
	case readErr != nil && cause != nil && !errors.Is(cause, errIdle):
		v.Outcome, v.Err = proxy.CallerGone, cause
	case readErr != nil && cause != nil:
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
