package edge

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"net/textproto"
	"os"
	"sync"
	"time"
)

// Two lengths in one request, Content-Length and Transfer-Encoding, are how requests are smuggled past a proxy. The
// standard library takes the second and forgets the first before a handler could refuse it, so the head of each request
// is kept as it comes from the connection until the handler has looked.
//
// A head that arrives in the same packet as the end of the request before it (pipelining) is not seen. It does no harm:
// what goes upstream is framed anew.

// headMost bounds what is kept of a head.
const headMost = 16 << 10

type headConn struct {
	net.Conn
	leave context.CancelFunc // ends the requests of the connection

	mu    sync.Mutex // guards those below
	phase phase
	head  []byte
	ahead []byte // what was read ahead of the next request: a byte, or nothing

	reads, writes deadline
	watch         watch
}

// phase is what the server does with the connection.
type phase uint8

const (
	hears  phase = iota // between requests: what comes is a head
	serves              // a request runs
	served              // its handler is done
	taken               // somebody else has the connection
)

// writePause bounds a write for which nobody has set a deadline: the server sets none, so that a caller who asks and asks and
// never reads would hold a connection for ever.
const writePause = time.Minute

func newHeadConn(c net.Conn, s *sentry) *headConn {
	h := &headConn{Conn: c, leave: func() {}, reads: deadline{give: c.SetReadDeadline}, writes: deadline{give: c.SetWriteDeadline, pause: writePause}}
	h.watch = newWatch(s, h.listen)
	return h
}

func (c *headConn) Write(p []byte) (n int, err error) {
	err = c.writes.begin()
	for again := err == nil; again; again = c.writes.tooSoon(err) {
		var more int
		more, err = c.Conn.Write(p[n:])
		n += more
	}
	c.writes.end()
	return n, err
}

// Read reads. One byte is what the server reads ahead while a request runs: it is told that nothing has come, with which it is
// content, and the watch begins, which looks in its place.
func (c *headConn) Read(p []byte) (n int, err error) {
	if n, done := c.readHere(p); done {
		return n, nil
	}
	n, err = c.read(p)
	c.keep(p[:n])
	return n, err
}

// readHere reads without the connection, if that is to be.
func (c *headConn) readHere(p []byte) (n int, done bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(p) == 1 && (c.phase == serves || c.phase == served) {
		if c.phase == serves && len(c.ahead) == 0 {
			c.watch.begin()
		}
		return 0, true
	}
	n = copy(p, c.ahead)
	c.ahead = c.ahead[n:]
	c.keepLocked(p[:n])
	return n, n > 0
}

func (c *headConn) read(p []byte) (n int, err error) {
	err = c.reads.begin()
	for again := err == nil; again; again = c.reads.tooSoon(err) {
		n, err = c.Conn.Read(p)
	}
	c.reads.end()
	return n, err
}

// listen reads ahead of the next request, until the caller leaves, or sends it, or the one that runs has ended.
func (c *headConn) listen() {
	b := make([]byte, 1)
	n, err := c.read(b)
	c.mu.Lock()
	c.ahead = append(c.ahead, b[:n]...)
	c.mu.Unlock()
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		c.leave()
	}
}

// unwatch ends the watch, and waits until it does not read.
func (c *headConn) unwatch() {
	if !c.watch.end() {
		return
	}
	_ = c.reads.want(time.Unix(1, 0))
	<-c.watch.ended
	_ = c.reads.want(time.Time{}) // as it was
}

func (c *headConn) at() phase {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.phase
}

// SetReadDeadline holds for a read that waits, and for those that follow.
func (c *headConn) SetReadDeadline(t time.Time) error { return c.reads.want(t) }

// Close ends what waits, too.
func (c *headConn) Close() error {
	err := c.Conn.Close()
	if c.at() != taken {
		c.leave()
	}
	return err
}

// SetWriteDeadline does so for writes. The zero time leaves each to its pause.
func (c *headConn) SetWriteDeadline(t time.Time) error { return c.writes.want(t) }

// SetDeadline holds for both.
func (c *headConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// keep keeps what came, if it is of a head.
func (c *headConn) keep(p []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keepLocked(p)
}

func (c *headConn) keepLocked(p []byte) {
	if c.phase == hears && len(c.head)+len(p) <= headMost {
		c.head = append(c.head, p...)
	}
}

// state follows the server: between requests heads are kept, and forgotten when the request has been served.
func (c *headConn) state(s http.ConnState) {
	switch s {
	case http.StateActive:
		c.enter(serves)
	case http.StateHijacked:
		c.enter(taken)
		c.unwatch()
	case http.StateClosed:
	default:
		c.enter(hears)
	}
}

func (c *headConn) enter(p phase) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.phase = p; p == hears {
		c.head = c.head[:0]
	}
}

// done is told that the handler of a request is.
func (c *headConn) done() {
	if c.at() == taken {
		c.leave()
		return
	}
	c.enter(served)
	c.unwatch()
}

// twoLengths reports whether the head names both ways to frame a body.
func (c *headConn) twoLengths() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	head := bytes.TrimLeft(c.head, "\r\n") // empty lines before a request are nothing (RFC 9112, 2.2)
	r := textproto.NewReader(bufio.NewReader(bytes.NewReader(head)))
	if _, err := r.ReadLine(); err != nil {
		return false
	}
	h, _ := r.ReadMIMEHeader()
	return len(h["Content-Length"]) > 0 && len(h["Transfer-Encoding"]) > 0
}

type headKey struct{}

type headListener struct {
	net.Listener
	sentry *sentry // of all its connections
}

func (l headListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return newHeadConn(c, l.sentry), nil
}

// WatchHeads prepares a server that has its handler, and its listener, so that requests with two lengths can be told apart. It also
// watches for callers who leave, in place of the server.
func WatchHeads(s *http.Server, l net.Listener) net.Listener {
	s.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if c, ok := c.(*headConn); ok {
			ctx, c.leave = context.WithCancel(ctx)
		}
		return context.WithValue(ctx, headKey{}, c)
	}
	s.ConnState = func(c net.Conn, state http.ConnState) {
		if c, ok := c.(*headConn); ok {
			c.state(state)
		}
	}
	handler := s.Handler
	s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, ok := r.Context().Value(headKey{}).(*headConn); ok {
			defer c.done()
		}
		handler.ServeHTTP(w, r)
	})
	return headListener{l, new(sentry)}
}

// twoLengths is asked only for chunked requests, which are few.
func twoLengths(r *http.Request) bool {
	c, ok := r.Context().Value(headKey{}).(*headConn)
	return ok && len(r.TransferEncoding) > 0 && c.twoLengths()
}
