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

	mu     sync.Mutex // guards the three below
	isHead bool       // between requests: what comes is a head
	serves bool       // a request runs
	head   []byte

	reads, writes deadline
	watch         watch
}

// writePause bounds a write for which nobody has set a deadline: the server sets none, so that a caller who asks and asks and
// never reads would hold a connection for ever.
const writePause = time.Minute

func newHeadConn(c net.Conn, s *sentry) *headConn {
	return &headConn{Conn: c, isHead: true, watch: newWatch(s), reads: deadline{give: c.SetReadDeadline}, writes: deadline{give: c.SetWriteDeadline, pause: writePause}}
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

// Read reads. While a request runs the server reads one byte, to notice that the caller leaves; it interrupts that when the
// answer has gone.
func (c *headConn) Read(p []byte) (n int, err error) {
	if len(p) == 1 && c.serving() && !c.old() {
		return 0, os.ErrDeadlineExceeded
	}
	err = c.reads.begin()
	for again := err == nil; again; again = c.reads.tooSoon(err) {
		n, err = c.Conn.Read(p)
	}
	c.reads.end()
	c.keep(p[:n])
	return n, err
}

// old waits until the request that runs is no longer young, and reports false if the read has to end before that.
func (c *headConn) old() bool {
	c.watch.begin()
	if c.reads.passed() { // just before
		c.watch.wake()
	}
	<-c.watch.woken
	return !c.reads.passed()
}

func (c *headConn) serving() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.serves
}

// SetReadDeadline holds for a read that waits, and for those that follow.
func (c *headConn) SetReadDeadline(t time.Time) error {
	err := c.reads.want(t)
	if !t.IsZero() {
		c.watch.wake()
	}
	return err
}

// Close ends what waits, too.
func (c *headConn) Close() error {
	err := c.Conn.Close()
	c.watch.wake()
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
	if c.isHead && len(c.head)+len(p) <= headMost {
		c.head = append(c.head, p...)
	}
}

// state follows the server: between requests heads are kept, and forgotten when the request has been served.
func (c *headConn) state(s http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.isHead, c.serves = s == http.StateNew || s == http.StateIdle, s == http.StateActive
	if c.isHead {
		c.head = c.head[:0]
	}
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

// WatchHeads prepares a server and its listener so that requests with two lengths can be told apart.
func WatchHeads(s *http.Server, l net.Listener) net.Listener {
	s.ConnContext = func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, headKey{}, c) }
	s.ConnState = func(c net.Conn, state http.ConnState) {
		if c, ok := c.(*headConn); ok {
			c.state(state)
		}
	}
	return headListener{l, new(sentry)}
}

// twoLengths is asked only for chunked requests, which are few.
func twoLengths(r *http.Request) bool {
	c, ok := r.Context().Value(headKey{}).(*headConn)
	return ok && len(r.TransferEncoding) > 0 && c.twoLengths()
}
