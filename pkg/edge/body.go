package edge

import (
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"openai-api-proxy/pkg/proxy"
)

const (
	// heldByAll bounds the bytes held for all requests together.
	heldByAll = 256 << 20
	// headBytes of a body that is streamed are still held, enough to read what it asks for.
	headBytes = 64 << 10
	// readPause bounds the silence while a body is read: a caller who sends nothing holds a connection, not a key.
	readPause = time.Minute
)

// bodies holds request bodies until the attempt that succeeds, within a bound for all of them. What does not fit is
// streamed: forwarded once, without a second try.
type bodies struct {
	most int64 // of one body
	free atomic.Int64
}

func newBodies(most int64) *bodies {
	b := &bodies{most: most}
	b.free.Store(heldByAll)
	return b
}

var errTooLarge = errors.New("body too large")

// hold reads the body of req by from, or its beginning if it is longer than replay. The room it takes is to be given back with
// release.
func (b *bodies) hold(from *pacedBody, w http.ResponseWriter, req *http.Request, replay int64) (body proxy.Body, room int64, err error) {
	if req.ContentLength > b.most {
		return body, 0, b.tooLarge()
	}
	if req.Body == nil || req.Body == http.NoBody || req.ContentLength == 0 {
		return body, 0, nil
	}
	*from = pacedBody{control: *http.NewResponseController(w), body: req.Body, left: b.most}
	room = b.reserve(req.ContentLength, replay)
	held, whole, err := readUpTo(from, room, req.ContentLength)
	if err != nil {
		return body, room, b.readFault(err)
	}
	if whole {
		from.done()
		_ = req.Body.Close()               // or the server looks for more of it before it answers
		b.release(room - int64(len(held))) // more was reserved while the length was not known
		return proxy.Body{Held: held, Length: int64(len(held))}, int64(len(held)), nil
	}
	// Without full duplex the server would close the caller's body at the first byte of the answer, while the transport
	// still reads it.
	_ = from.control.EnableFullDuplex()
	return proxy.Body{Held: held, Rest: from, Length: req.ContentLength}, room, nil
}

// reserve takes room for a body of the given length, -1 when it is not known, and returns how much of it may be held.
func (b *bodies) reserve(length, replay int64) int64 {
	want := min(length, replay)
	if length < 0 || length > replay {
		want = headBytes
		if length < 0 {
			want = replay
		}
	}
	if b.free.Add(-want) >= 0 {
		return want
	}
	b.free.Add(want)
	least := min(want, headBytes)
	b.free.Add(-least)
	return least
}

// release gives back the room that a body took.
func (b *bodies) release(room int64) { b.free.Add(room) }

// readUpTo reads at most limit bytes, and reports whether that was all.
func readUpTo(from io.Reader, limit, length int64) (held []byte, whole bool, err error) {
	if length >= 0 && length <= limit {
		held = make([]byte, length)
		_, err = io.ReadFull(from, held)
		return held, true, err
	}
	held, err = io.ReadAll(io.LimitReader(from, limit))
	if err != nil {
		return nil, false, err
	}
	return held, int64(len(held)) < limit, nil
}

func (b *bodies) tooLarge() error {
	return proxy.Faultf(proxy.TooLarge, "the body is larger than %d bytes", b.most)
}

func (b *bodies) readFault(err error) error {
	if errors.Is(err, errTooLarge) {
		return b.tooLarge()
	}
	return &proxy.Fault{Kind: proxy.InvalidRequest, Public: "the body could not be read to its end", Err: err}
}

// pacedBody reads a caller's body with a deadline for each read and a bound for all of it.
type pacedBody struct {
	control http.ResponseController
	body    io.ReadCloser
	left    int64
}

func (p *pacedBody) Read(into []byte) (int, error) {
	_ = p.control.SetReadDeadline(time.Now().Add(readPause))
	n, err := p.body.Read(into)
	if p.left -= int64(n); p.left < 0 {
		return 0, errTooLarge
	}
	if err == io.EOF {
		p.done()
	}
	return n, err
}

// done lifts the deadline: from here on the connection is listened to, so that it is noticed when the caller leaves.
func (p *pacedBody) done() { _ = p.control.SetReadDeadline(time.Time{}) }
