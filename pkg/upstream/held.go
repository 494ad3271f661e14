package upstream

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"openai-api-proxy/pkg/openai"
	"openai-api-proxy/pkg/proxy"
)

const (
	// heldBody bounds the body of a failure, which is held to be judged, masked and perhaps passed on later.
	heldBody = 1 << 20
	// heldWait bounds the wait for it.
	heldWait = 10 * time.Second
)

// hold reads the body of a failure. One that cannot be read whole keeps its status and loses its body: half of an error
// would tell the caller less than none.
func (a *Answer) hold() {
	timer := time.AfterFunc(heldWait, func() { a.cancel(errIdle) })
	defer timer.Stop()
	body, err := io.ReadAll(io.LimitReader(a.resp.Body, heldBody+1))
	if err == nil && a.resp.Header.Get("Content-Encoding") != "" {
		body, err = decode(a.resp.Header, body)
	}
	if err != nil || len(body) > heldBody {
		body = openai.Error{Type: "upstream_error", Code: "upstream_error",
			Message: "the upstream answered " + a.resp.Status + " with a body that could not be read"}.Body()
		a.resp.Header.Set("Content-Type", "application/json")
		a.resp.Header.Del("Content-Encoding")
	}
	a.held = body
}

// Whole reads the body of an answer that does not go to the caller as it is, of so many bytes at most.
func (a *Answer) Whole(most int64) ([]byte, error) {
	if a.held != nil {
		return a.held, nil
	}
	body, err := io.ReadAll(io.LimitReader(a.Reader(), most+1))
	if err == nil && int64(len(body)) > most {
		err = errors.New("the answer is too long")
	}
	return body, err
}

// Reader reads such a body as it comes. Silence ends it, as it would end one that is forwarded.
func (a *Answer) Reader() io.Reader {
	if a.held != nil {
		return bytes.NewReader(a.held)
	}
	return idleReader{a}
}

type idleReader struct{ *Answer }

func (r idleReader) Read(p []byte) (int, error) {
	timer := time.AfterFunc(r.client.opts.IdleTimeout, func() { r.cancel(errIdle) })
	defer timer.Stop()
	return r.resp.Body.Read(p)
}

// decode undoes the encoding of a failure's body: nobody asked for one, and secrets could not be masked in it.
func decode(h http.Header, body []byte) ([]byte, error) {
	if h.Get("Content-Encoding") != "gzip" {
		return nil, errors.New("unknown content encoding")
	}
	h.Del("Content-Encoding")
	z, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(z, heldBody+1))
}

func (a *Answer) writeHeld(w http.ResponseWriter, how *Forwarding, d *Delivered) {
	body := a.held
	if a.client.opts.Mask != nil {
		body = a.client.opts.Mask(body)
	}
	if how.Head {
		if n := a.resp.ContentLength; n >= 0 {
			w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
		}
		w.WriteHeader(a.resp.StatusCode)
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(a.resp.StatusCode)
	out := &a.out
	out.open(w, a.client.opts.WriteTimeout, false, int64(len(body)))
	defer out.done()
	err := out.send(body)
	d.Bytes, d.FirstByte = out.bytes, out.first
	if err != nil {
		d.Verdict = proxy.Verdict{Outcome: proxy.CallerGone, Status: d.Verdict.Status, Err: err}
	}
}
