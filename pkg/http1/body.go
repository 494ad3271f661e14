package http1

import (
	"bufio"
	"bytes"
	"io"
	"net"
)

// body is that of an answer. At its end the connection is given back. It is read here and not by net/http, which holds a buffer
// of its own all the while and never reads more than that at once.
type body struct {
	c     *conn
	r     *bufio.Reader // nil: all that it read is taken, and the rest is read past it
	ends  Ender
	close bool // the upstream closes the connection, or we shall
	err   error

	chunked bool
	chunks  chunks
	left    int64 // of a body that is not in chunks; negative: it ends with the connection
	beyond  bool  // something came behind the end
}

// Read reads what has come. After the end it says again what it said.
func (b *body) Read(p []byte) (n int, err error) {
	for b.err == nil {
		if n = b.there(p); n == 0 {
			n, err = b.c.Read(p)
		}
		if n, err = b.take(p[:n], err); n > 0 || err != nil || len(p) == 0 {
			return n, err
		}
	}
	return 0, b.err
}

// Next reads what comes next into a buffer out of lend, to which it is to be given back. It is taken when there is something to
// be read, and not before: a stream waits nearly all the time.
func (b *body) Next(lend Lender) (buf *[]byte, n int, err error) {
	if b.err != nil || b.r != nil && b.r.Buffered() > 0 {
		buf = lend.Get().(*[]byte)
		n, err = b.Read(*buf)
		return buf, n, err
	}
	b.release()
	for {
		if err = b.await(); err != nil {
			return lend.Get().(*[]byte), 0, err
		}
		buf, n, err = b.c.readLent(lend)
		if n, err = b.take((*buf)[:n], err); n > 0 || err != nil {
			return buf, n, err
		}
		lend.Put(buf) // what came was frame only
	}
}

// await waits for a byte of the frame where nothing else can be waited for: TLS may have bytes that cannot be seen at the socket.
// It may be the last one, behind which nothing comes.
func (b *body) await() error {
	if b.c.lent.arrived != nil || !b.chunked || b.chunks.place == inData {
		return nil
	}
	n, err := b.c.Read(b.c.lent.first[:])
	_, err = b.take(b.c.lent.first[:n], err)
	return err
}

// there takes what came together with the head. When that is all taken, its buffer is not needed any more.
func (b *body) there(p []byte) (n int) {
	if b.r == nil {
		return 0
	}
	if n = min(len(p), b.r.Buffered()); n > 0 {
		n, _ = b.r.Read(p[:n])
	}
	if b.r.Buffered() == 0 {
		b.release()
	}
	return n
}

// take takes the frame off what came.
func (b *body) take(p []byte, err error) (int, error) {
	n, rest, over, wrong := b.cut(p)
	b.beyond = rest > 0
	switch {
	case wrong != nil:
		err = wrong
	case over:
		err = io.EOF
	case err == io.EOF && (b.chunked || b.left > 0):
		err = io.ErrUnexpectedEOF
	}
	return n, b.ended(err)
}

// cut tells the body from its frame, and from what comes behind it.
func (b *body) cut(p []byte) (n, rest int, over bool, err error) {
	switch {
	case b.chunked:
		n, rest, err = b.chunks.take(p)
		return n, rest, b.chunks.place == bodyOver, err
	case b.left < 0:
		return len(p), 0, false, nil
	}
	n = int(min(b.left, int64(len(p))))
	b.left -= int64(n)
	return n, len(p) - n, b.left == 0, nil
}

// Begun reports whether the first bytes of the body came together with the head, so that the first read does not wait. It is
// to be asked before that.
func (b *body) Begun() bool {
	if b.err != nil {
		return true
	}
	there, _ := b.r.Peek(b.r.Buffered())
	if !b.chunked {
		return len(there) > 0
	}
	size := bytes.IndexByte(there, '\n') // of the first chunk
	return size >= 0 && size+1 < len(there)
}

// Close ends the answer. What is left of it is not read: it may be minutes of a stream that somebody pays for.
func (b *body) Close() error {
	if b.err == nil {
		b.ended(net.ErrClosed)
	}
	return nil
}

// ended ends the body if there is a reason.
func (b *body) ended(err error) error {
	if err != nil {
		b.err = err
		b.end(err == io.EOF)
	}
	return err
}

// end gives the connection back, or closes it if it is not sure that the next answer on it is that of the next request.
func (b *body) end(whole bool) {
	alive := b.ends.CloseAtEnd(nil) // the context has not ended, and will not close it any more
	clean := whole && alive && !b.close && !b.beyond && (b.r == nil || b.r.Buffered() == 0) && b.c.drained()
	b.release()
	if !clean {
		b.c.Close()
		return
	}
	b.c.transport.put(b.c)
}

// release gives the reader back.
func (b *body) release() {
	if b.r != nil {
		b.r.Reset(nil)
		b.c.transport.readers.Put(b.r)
		b.r = nil
	}
}
