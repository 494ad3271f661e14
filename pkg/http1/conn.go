package http1

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"
)

// conn is a connection. One request has it, or the Transport.
type conn struct {
	net.Conn
	transport *Transport
	to        origin
	raw       syscall.RawConn // to look without reading; nil: cannot be done
	peeked    func(fd uintptr) bool
	silent    bool      // what peeked found
	asking    asking    // of a request that is sent by whoever waits for its answer
	since     time.Time // when it became idle
	used      bool      // it has served a request
	wrote     bool      // it took something of this one
	heard     bool      // something came of the answer
	broken    bool      // it took not all that it was given
	head      int64     // bytes that may still come of the head of an answer; negative: the head is over
	lent      lent      // of a read that takes its buffer late
}

// Read reads for the parser of the answer, which has no bound of its own for the head.
func (c *conn) Read(p []byte) (int, error) {
	if c.head == 0 {
		return 0, errHead
	}
	if c.head > 0 && int64(len(p)) > c.head {
		p = p[:c.head]
	}
	n, err := c.hear(p)
	c.heard = c.heard || n > 0
	if c.head > 0 {
		c.head -= int64(n)
	}
	return n, err
}

func (c *conn) Write(p []byte) (int, error) {
	if c.asking.idle {
		if c.asking.idle = false; !c.quiet() {
			return 0, errStale
		}
	}
	n, err := c.Conn.Write(p)
	c.wrote, c.broken = c.wrote || n > 0, err != nil
	return n, err
}

// Ender is a context that closes a connection at its end, which costs it less than context.AfterFunc.
type Ender interface {
	// CloseAtEnd has the connection closed at the end, or at once if that was before; nil: none any more. It reports whether the
	// end is still to come.
	CloseAtEnd(c io.Closer) (alive bool)
	// Cause is why it has ended; nil: it has not.
	Cause() error
}

// endWith has the connection closed when the context ends.
func (c *conn) endWith(ctx context.Context) Ender {
	ends, ok := ctx.(Ender)
	if !ok {
		ends = &afterwards{Context: ctx}
	}
	ends.CloseAtEnd(c.Conn)
	return ends
}

// afterwards is any other context, as an Ender of one connection.
type afterwards struct {
	context.Context
	stop func() bool
}

func (a *afterwards) Cause() error { return context.Cause(a.Context) }

func (a *afterwards) CloseAtEnd(c io.Closer) (alive bool) {
	if c == nil {
		return a.stop()
	}
	a.stop = context.AfterFunc(a.Context, func() { c.Close() })
	return true
}

// exchange sends the request and reads the head of the answer. After an error the connection is closed.
func (c *conn) exchange(req *http.Request) (*http.Response, error) {
	ends := c.endWith(req.Context())
	resp, r, err := c.ask(req)
	if err != nil {
		ends.CloseAtEnd(nil)
		c.Close()
		if r != nil {
			r.Reset(nil)
			c.transport.readers.Put(r)
		}
		if cause := ends.Cause(); cause != nil {
			err = cause
		}
		return nil, err
	}
	b := &body{c: c, r: r, ends: ends, close: resp.Close || req.Close || c.broken, chunked: len(resp.TransferEncoding) > 0, left: resp.ContentLength}
	if resp.Body == http.NoBody {
		b.end(true)
	} else {
		resp.Body = b
	}
	return resp, nil
}

// ask writes the request, whole in one packet if it is small, and reads heads until one is final. An upstream may answer and hang
// up before it has all of the request, with which it refuses it: then the rest cannot be written, and the answer can be read.
func (c *conn) ask(req *http.Request) (*http.Response, *bufio.Reader, error) {
	w := c.transport.writers.Get().(*bufio.Writer)
	w.Reset(c)
	defer func() {
		w.Reset(nil)
		c.transport.writers.Put(w)
	}()
	if err := write(w, req); err != nil && !(c.broken && c.wrote) {
		return nil, nil, err
	}
	if c.asking.arrived == nil {
		if err := w.Flush(); err != nil && !(c.broken && c.wrote) {
			return nil, nil, err
		}
	} else {
		c.asking.by = w // sends what is left of it
	}
	r := c.transport.readers.Get().(*bufio.Reader)
	r.Reset(c)
	c.head = c.transport.opts.MostHead
	for {
		resp, err := http.ReadResponse(r, req)
		switch {
		case err != nil:
			return nil, r, err
		case resp.StatusCode == http.StatusSwitchingProtocols:
			return nil, r, errUpgrade
		case resp.StatusCode < 100: // has a body, which is not to be taken for a head
			return nil, r, errStatus
		case resp.StatusCode >= 200:
			c.head = -1
			return resp, r, nil
		}
	}
}

// drained reports whether TLS holds nothing that it has read beyond the answer: neither can be seen at the socket.
func (c *conn) drained() bool {
	secure, isTLS := c.Conn.(*tls.Conn)
	if !isTLS {
		return true
	}
	_ = secure.SetReadDeadline(time.Unix(1, 0)) // it does not wait, and what it has it gives
	n, err := secure.Read(c.lent.first[:])
	_ = secure.SetReadDeadline(time.Time{})
	return n == 0 && errors.Is(err, os.ErrDeadlineExceeded)
}
