package edge

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// conn is a connection of a caller, between the server and the network. It keeps the head of each request (see twoLengths), gives
// deadlines only when they are needed (see deadline), and notices callers who leave (see watch).
type conn struct {
	net.Conn
	leave context.CancelFunc // ends the requests of the connection: when its caller has left it serves no more of them

	mu     sync.Mutex // guards those below
	phase  phase
	head   []byte
	asked  bool      // the server has asked for what is ahead of the request that runs
	ahead  []byte    // what listen has read: a byte, or nothing
	ending bool      // listen is interrupted
	wanted time.Time // the deadline of reads from then on

	reads, writes deadline
	watch         watch
}

// phase is what the server does with the connection.
type phase uint8

const (
	hears  phase = iota // between requests: what comes is a head
	serves              // a request runs
	taken               // somebody else has the connection
)

// writePause bounds a write for which nobody has set a deadline: the server sets none, so that a caller who asks and asks and
// never reads would hold a connection for ever.
const writePause = time.Minute

func newConn(c net.Conn, s *sentry) *conn {
	h := &conn{Conn: c, leave: func() {}, reads: deadline{give: c.SetReadDeadline}, writes: deadline{give: c.SetWriteDeadline, pause: writePause}}
	h.watch = newWatch(s, h.listen)
	return h
}

func (c *conn) Write(p []byte) (n int, err error) {
	err = c.writes.begin()
	for again := err == nil; again; again = c.writes.tooSoon(err) {
		var more int
		more, err = c.Conn.Write(p[n:])
		n += more
	}
	c.writes.end()
	return n, err
}

// Read reads, first what listen has read ahead.
func (c *conn) Read(p []byte) (n int, err error) {
	if c.isAhead(p) {
		return 0, nil
	}
	if n = c.takeAhead(p); n == 0 {
		n, err = c.read(p)
	}
	c.keep(p[:n])
	return n, err
}

// isAhead reports whether the server asks for a byte ahead of the request that runs. It is told that none has come: that ends
// its read ahead, and the watch begins in its place. net/http (backgroundRead in server.go of Go 1.26) only looks whether it has
// got a byte or an error.
//
// The first read of one byte need not be that: it is how a full buffer reads the last byte of a long trailer. It then asks again, and
// from there the watch is left to the server.
func (c *conn) isAhead(p []byte) bool {
	c.mu.Lock()
	again := c.phase == serves && c.asked
	first := c.phase == serves && !c.asked && len(p) == 1
	if first {
		c.asked = true
		c.watch.begin()
	}
	c.mu.Unlock()
	if again {
		c.unwatch()
	}
	return first
}

func (c *conn) takeAhead(p []byte) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := copy(p, c.ahead)
	c.ahead = c.ahead[n:]
	return n
}

func (c *conn) read(p []byte) (n int, err error) {
	err = c.reads.begin()
	for again := err == nil; again; again = c.reads.tooSoon(err) {
		n, err = c.Conn.Read(p)
	}
	c.reads.end()
	return n, err
}

// listen reads ahead of the request that runs, until its caller leaves or sends the next, or unwatch interrupts it.
func (c *conn) listen() {
	b := make([]byte, 1)
	n, err := c.read(b)
	c.mu.Lock()
	c.ahead = append(c.ahead, b[:n]...)
	interrupted := c.ending && errors.Is(err, os.ErrDeadlineExceeded)
	c.mu.Unlock()
	if err != nil && !interrupted {
		c.leave()
	}
}

// unwatch ends the watch. If it listens, that is interrupted by a deadline, and nobody sets another until it has ended.
func (c *conn) unwatch() {
	if !c.watch.end() {
		return
	}
	c.mu.Lock()
	c.ending, c.wanted = true, c.reads.isWanted()
	_ = c.reads.want(time.Unix(1, 0))
	c.mu.Unlock()
	<-c.watch.ended
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ending = false
	_ = c.reads.want(c.wanted)
}

// SetReadDeadline holds for a read that waits, and for those that follow.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ending {
		c.wanted = t
		return nil
	}
	return c.reads.want(t)
}

// SetWriteDeadline does so for writes. The zero time leaves each to its pause.
func (c *conn) SetWriteDeadline(t time.Time) error { return c.writes.want(t) }

// SetDeadline holds for both.
func (c *conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// Close ends what waits, too, and the request, unless that has taken the connection: it closes it when it is done.
func (c *conn) Close() error {
	err := c.Conn.Close()
	c.watch.end()
	if !c.isTaken() {
		c.leave()
	}
	return err
}

func (c *conn) isTaken() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.phase == taken
}

// keep keeps what came, if it is of a head.
func (c *conn) keep(p []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.phase == hears && len(c.head)+len(p) <= headMost {
		c.head = append(c.head, p...)
	}
}

// state follows the server: between requests heads are kept, and forgotten when the request has been served.
func (c *conn) state(s http.ConnState) {
	switch s {
	case http.StateActive:
		c.enter(serves)
	case http.StateHijacked:
		c.enter(taken)
		c.unwatch()
	case http.StateIdle:
		c.enter(hears)
		c.unwatch()
	}
}

func (c *conn) enter(p phase) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.phase, c.asked = p, false
	if p == hears {
		c.head = c.head[:0]
	}
}

type connKey struct{}

// connOf is the connection that a request came by; nil if it is none of ours.
func connOf(r *http.Request) *conn {
	c, _ := r.Context().Value(connKey{}).(*conn)
	return c
}

// Serve serves the handler on the listener as http.Server does, on connections that are watched.
func Serve(s *http.Server, l net.Listener) error {
	s.ConnContext = func(ctx context.Context, nc net.Conn) context.Context {
		c := nc.(*conn) // the listener's
		ctx, c.leave = context.WithCancel(ctx)
		return context.WithValue(ctx, connKey{}, c)
	}
	s.ConnState = func(c net.Conn, state http.ConnState) { c.(*conn).state(state) }
	handler := s.Handler
	s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := connOf(r)
		defer func() {
			if c.isTaken() { // nobody else tells when that is over
				c.leave()
			}
		}()
		handler.ServeHTTP(w, r)
	})
	return s.Serve(listener{l, new(sentry)})
}

// listener makes the connections.
type listener struct {
	net.Listener
	sentry *sentry // of all of them
}

func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return newConn(c, l.sentry), nil
}
