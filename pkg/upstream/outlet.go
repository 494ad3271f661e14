package upstream

import (
	"net/http"
	"time"

	"openai-api-proxy/pkg/openai"
)

// outlet writes to the caller: each write has a deadline, since a deadline for the whole answer would cut long streams and
// none at all would let a stalled reader hold one open for ever. It is set anew only when an eighth of it is gone.
//
// The last byte of an answer whose length is known is left to the server, which sends it when the handler returns, as it does
// with the end of the others and what came together with that: by then the request is recorded. No caller has a whole answer
// that was not counted.
type outlet struct {
	w       http.ResponseWriter
	control http.ResponseController
	timeout time.Duration
	flush   bool  // after each write
	length  int64 // of the answer; negative: nobody knows
	filter  *openai.UsageFilter
	bytes   int64
	first   time.Time
	armed   time.Time // when the deadline was set; zero: there is none
	left    bool      // the rest is left to the server
}

// kept is how much of an answer the server keeps at least until the handler ends, or flushes: writing that waits for
// nobody.
const kept = 2 << 10

// open begins an answer.
func (o *outlet) open(w http.ResponseWriter, timeout time.Duration, flush bool, length int64) {
	o.w, o.control, o.timeout, o.flush, o.length = w, *http.NewResponseController(w), timeout, flush, length
}

// filtered is what the caller may have of p.
func (o *outlet) filtered(p []byte) []byte {
	if o.filter == nil {
		return p
	}
	return o.filter.Next(p)
}

func (o *outlet) send(p []byte) error {
	if len(p) == 0 {
		return o.show()
	}
	now := time.Now()
	if o.first.IsZero() {
		o.first = now
	}
	if (o.flush || o.bytes+int64(len(p)) > kept) && now.Sub(o.armed) > o.timeout/8 {
		o.arm(now)
	}
	last := o.bytes+int64(len(p)) == o.length
	if last && len(p) > 1 {
		n, err := o.w.Write(p[:len(p)-1])
		o.bytes += int64(n)
		if err != nil {
			return err
		}
		p = p[len(p)-1:]
	}
	n, err := o.w.Write(p)
	o.bytes += int64(n)
	if err == nil && o.flush && !last {
		err = o.control.Flush()
	}
	return err
}

// show lets the caller see the head, if that is all there is to be seen yet.
func (o *outlet) show() error {
	if !o.flush || o.bytes > 0 {
		return nil
	}
	return o.control.Flush()
}

// leave leaves what is still to be written to the server, under a deadline that begins now and that the server lifts.
func (o *outlet) leave() {
	o.flush, o.left = false, true
	o.arm(time.Now())
}

func (o *outlet) arm(now time.Time) {
	_ = o.control.SetWriteDeadline(now.Add(o.timeout)) // a writer without deadlines, as in a test, is no reason to fail
	o.armed = now
}

// finish writes what the filter still holds.
func (o *outlet) finish() error {
	if o.filter == nil {
		return nil
	}
	return o.send(o.filter.Flush())
}

// done lifts the deadline: the connection serves other requests, and the server itself sets none.
func (o *outlet) done() {
	if !o.armed.IsZero() && !o.left {
		_ = o.control.SetWriteDeadline(time.Time{})
	}
}
