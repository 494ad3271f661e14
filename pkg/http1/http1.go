// Package http1 is a round tripper for HTTP/1.1 whose connections have no goroutines of their own: the one that asks writes
// the request, reads the answer, and gives the connection back. The heads of answers are read by net/http (ReadResponse), and
// requests with anything unusual about them are written by it; what is here is who holds which connection, when one may be used
// again, the writing of plain requests, and the reading of bodies, which wait for their next bytes without a buffer and take many
// of them at once.
//
// http.Transport serves every purpose and has two goroutines for each connection, which are handed each request and each
// answer. On the path of a small request that is a third of all that a proxy costs, and 18 KiB of an open stream.
// What it does for its price is not needed where a request is small and whole: nobody need look for an answer while the request
// is sent, since it fits into the buffers of the socket.
package http1

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync"
	"time"

	"golang.org/x/net/http/httpguts"
)

// Options are the settings of a Transport.
type Options struct {
	Dial        func(ctx context.Context, network, addr string) (net.Conn, error)
	TLS         *tls.Config
	TLSTimeout  time.Duration // of a handshake
	IdleTimeout time.Duration // after which a connection that nobody used is closed
	MostIdle    int           // connections to one host that are kept while nobody uses them
	MostHead    int64         // bytes of the head of an answer
}

// Transport holds the connections to all hosts.
type Transport struct {
	opts    Options
	readers sync.Pool // of *bufio.Reader
	writers sync.Pool // of *bufio.Writer

	mu     sync.Mutex // guards the rest
	idle   map[origin][]*conn
	sweep  *time.Timer // runs while there are idle ones; nil: never did
	closed bool
}

// origin is what a connection leads to.
type origin struct{ scheme, host string }

// buffer is what a connection reads and writes at once, in bytes.
const buffer = 4 << 10

var (
	errHead    = errors.New("http1: the head of the answer is too long")
	errUpgrade = errors.New("http1: the upstream switched protocols")
	errStatus  = errors.New("http1: the answer has a status that is none")
	errStale   = errors.New("http1: the upstream has ended the connection, or sends what nobody asked for")
)

// NotConnected is the error of a request of which nothing was sent, since there was no connection to send it on.
type NotConnected struct{ Err error }

func (e *NotConnected) Error() string { return e.Err.Error() }

func (e *NotConnected) Unwrap() error { return e.Err }

// New makes a Transport. Close it.
func New(o Options) *Transport {
	t := &Transport{opts: o, idle: map[origin][]*conn{}}
	t.readers.New = func() any { return bufio.NewReaderSize(nil, buffer) }
	t.writers.New = func() any { return bufio.NewWriterSize(nil, buffer) }
	return t
}

// RoundTrip sends the request and returns when the head of the answer is there. A *NotConnected is the error when there was
// no connection, and none before that took anything of it. The request's body must be in memory and small, with a GetBody. The
// end of the request's context ends the answer, too. A caller who does not read the body to its end must close it.
//
// The request is sent a second time only if the connection was used before and either took nothing of it, or ended without a
// byte of an answer and the request asks for nothing to be done: that is how a connection ends which the other side found idle
// for too long (RFC 9110, 9.2.2, and what http.Transport does).
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		defer req.Body.Close()
	}
	var lost error // why a connection that took some of it gave no answer
	for {
		c, err := t.connection(req)
		if err != nil {
			return nil, cmp.Or(lost, err)
		}
		resp, err := c.exchange(req)
		if err == nil {
			return resp, nil
		}
		if c.wrote {
			lost = err
		}
		if !c.used || c.wrote && (c.heard || !repeatable(req)) || req.Context().Err() != nil {
			return nil, err
		}
		if req.Body != nil {
			if req.Body, err = req.GetBody(); err != nil {
				return nil, err
			}
		}
	}
}

// repeatable reports whether it does no harm to carry out a request twice.
func repeatable(req *http.Request) bool {
	return req.Method == http.MethodGet || req.Method == http.MethodHead || req.Header["Idempotency-Key"] != nil
}

// connection is an idle one, or a new one.
func (t *Transport) connection(req *http.Request) (*conn, error) {
	ctx, to := req.Context(), origin{req.URL.Scheme, req.URL.Host}
	c := t.take(to)
	if c == nil {
		var err error
		if c, err = t.dialAside(ctx, to, req.URL); err != nil {
			return nil, &NotConnected{err}
		}
	}
	if trace := httptrace.ContextClientTrace(ctx); trace != nil && trace.GotConn != nil {
		trace.GotConn(httptrace.GotConnInfo{Conn: c.Conn, Reused: c.used})
	}
	return c, nil
}

// take takes the connection that was used last, the likeliest to be alive; nil if there is none.
func (t *Transport) take(to origin) *conn {
	for {
		t.mu.Lock()
		free := t.idle[to]
		if len(free) == 0 {
			t.mu.Unlock()
			return nil
		}
		c := free[len(free)-1]
		free[len(free)-1] = nil
		t.idle[to] = free[:len(free)-1]
		t.mu.Unlock()
		if time.Since(c.since) < t.opts.IdleTimeout && (c.asking.arrived != nil || c.quiet()) {
			c.asking.idle = c.asking.arrived != nil
			return c
		}
		c.Close()
	}
}

// put keeps a connection for the next request, or closes it.
func (t *Transport) put(c *conn) {
	c.used, c.wrote, c.heard, c.since = true, false, false, time.Now()
	if !t.keep(c) {
		c.Close()
	}
}

func (t *Transport) keep(c *conn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	free := t.idle[c.to]
	if t.closed || len(free) >= t.opts.MostIdle {
		return false
	}
	t.idle[c.to] = append(free, c)
	if t.sweep == nil {
		t.sweep = time.AfterFunc(t.opts.IdleTimeout, t.tidy)
	}
	return true
}

// tidy closes what has been idle for too long, and comes again as long as anything is left.
func (t *Transport) tidy() {
	for _, c := range t.old() {
		c.Close()
	}
}

// old takes out what has been idle for too long.
func (t *Transport) old() (all []*conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	left := 0
	for to, free := range t.idle {
		n := 0
		for n < len(free) && time.Since(free[n].since) >= t.opts.IdleTimeout {
			n++
		}
		all = append(all, free[:n]...)
		if left += len(free) - n; n == len(free) {
			delete(t.idle, to)
		} else {
			t.idle[to] = append(free[:0:0], free[n:]...)
		}
	}
	t.sweep = nil
	if left > 0 {
		t.sweep = time.AfterFunc(t.opts.IdleTimeout/2, t.tidy)
	}
	return all
}

// Idle is how many connections nobody uses.
func (t *Transport) Idle() (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, free := range t.idle {
		n += len(free)
	}
	return n
}

// Close closes the connections that nobody uses, and from now on each at the end of its answer.
func (t *Transport) Close() {
	t.mu.Lock()
	t.closed = true
	free := t.idle
	t.idle = map[origin][]*conn{}
	if t.sweep != nil {
		t.sweep.Stop()
		t.sweep = nil
	}
	t.mu.Unlock()
	for _, all := range free { // not under the lock: to say goodbye over TLS may take a while
		for _, c := range all {
			c.Close()
		}
	}
}

// dialAside dials in a goroutine that ends with that: dialing goes deep, and the stack of whoever asks would be of twice the
// size for as long as the answer takes.
func (t *Transport) dialAside(ctx context.Context, to origin, host *url.URL) (c *conn, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err = t.dial(ctx, to, host)
	}()
	<-done
	return c, err
}

// dial makes a connection.
func (t *Transport) dial(ctx context.Context, to origin, host *url.URL) (*conn, error) {
	port := host.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[to.scheme]
	}
	name, err := httpguts.PunycodeHostPort(host.Hostname())
	if err != nil {
		return nil, err
	}
	raw, err := t.opts.Dial(ctx, "tcp", net.JoinHostPort(name, port))
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: raw, transport: t, to: to}
	c.watch(raw)
	if to.scheme == "https" {
		config := t.opts.TLS.Clone()
		config.ServerName, config.NextProtos = name, []string{"http/1.1"}
		secure := tls.Client(raw, config)
		ctx, cancel := context.WithTimeout(ctx, t.opts.TLSTimeout)
		defer cancel()
		err := secure.HandshakeContext(ctx)
		if trace := httptrace.ContextClientTrace(ctx); trace != nil && trace.TLSHandshakeDone != nil {
			trace.TLSHandshakeDone(secure.ConnectionState(), err)
		}
		if err != nil {
			raw.Close()
			return nil, fmt.Errorf("TLS: %w", err)
		}
		c.Conn, c.lent.arrived, c.asking.arrived = secure, nil, nil
	}
	return c, nil
}
