package edge

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"net/textproto"
	"sync"
	"sync/atomic"
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

	mu     sync.Mutex // guards all below
	isHead bool       // between requests: what comes is a head
	head   []byte

	// The server and we set a deadline seven times for each request, which nearly always lies in the server's buffer already. Only
	// one that a read waits under is set in earnest.
	deadline time.Time // of reads, as it is wanted
	held     time.Time // as the connection has it
	reading  bool

	patient atomic.Bool  // a deadline of writes was set: it holds, and not ours
	armed   atomic.Int64 // when ours was set, in Unix nanoseconds; 0: never
}

// writePause bounds a write for which nobody has set a deadline: the server sets none, so that a caller who asks and asks and
// never reads would hold a connection for ever.
const writePause = time.Minute

// Write sets a deadline if nobody has; anew only when an eighth of the last is gone.
func (c *headConn) Write(p []byte) (int, error) {
	if !c.patient.Load() {
		if now := time.Now(); now.UnixNano()-c.armed.Load() > int64(writePause/8) {
			c.armed.Store(now.UnixNano())
			if err := c.Conn.SetWriteDeadline(now.Add(writePause)); err != nil {
				return 0, err
			}
		}
	}
	return c.Conn.Write(p)
}

// SetWriteDeadline is that of the connection. The zero time leaves it to Write.
func (c *headConn) SetWriteDeadline(t time.Time) error {
	c.patient.Store(!t.IsZero())
	c.armed.Store(0)
	return c.Conn.SetWriteDeadline(t)
}

func (c *headConn) Read(p []byte) (int, error) {
	if err := c.beginRead(); err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	c.reading = false
	if c.isHead && len(c.head)+n <= headMost {
		c.head = append(c.head, p[:n]...)
	}
	c.mu.Unlock()
	return n, err
}

func (c *headConn) beginRead() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reading = true
	return c.holdLocked()
}

// SetReadDeadline holds for a read that waits, and for those that follow.
func (c *headConn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.deadline = t; !c.reading {
		return nil
	}
	return c.holdLocked()
}

// SetDeadline holds for reads and writes.
func (c *headConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// holdLocked gives the connection the deadline that is wanted.
func (c *headConn) holdLocked() error {
	if c.deadline == c.held {
		return nil
	}
	c.held = c.deadline
	return c.Conn.SetReadDeadline(c.held)
}

// state follows the server: between requests heads are kept, and forgotten when the request has been served.
func (c *headConn) state(s http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.isHead = s == http.StateNew || s == http.StateIdle
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

type headListener struct{ net.Listener }

func (l headListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &headConn{Conn: c, isHead: true}, nil
}

// WatchHeads prepares a server and its listener so that requests with two lengths can be told apart.
func WatchHeads(s *http.Server, l net.Listener) net.Listener {
	s.ConnContext = func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, headKey{}, c) }
	s.ConnState = func(c net.Conn, state http.ConnState) {
		if c, ok := c.(*headConn); ok {
			c.state(state)
		}
	}
	return headListener{l}
}

// twoLengths is asked only for chunked requests, which are few.
func twoLengths(r *http.Request) bool {
	c, ok := r.Context().Value(headKey{}).(*headConn)
	return ok && len(r.TransferEncoding) > 0 && c.twoLengths()
}
