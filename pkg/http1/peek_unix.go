//go:build unix

package http1

import (
	"io"
	"net"
	"os"
	"syscall"
)

// watch prepares quiet, and readArrived.
func (c *conn) watch(raw net.Conn) {
	sc, ok := raw.(syscall.Conn)
	if !ok {
		return
	}
	c.raw, _ = sc.SyscallConn()
	c.peeked = func(fd uintptr) bool {
		var one [1]byte
		_, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		c.silent = err == syscall.EAGAIN
		return true // whatever was found: do not wait for more
	}
	c.lent.arrived = func(fd uintptr) bool { return c.lent.read(int(fd)) }
}

// read reports whether there was something to be read, if only the end.
func (l *lent) read(fd int) bool {
	buf := l.from.Get().(*[]byte)
	n, err := syscall.Read(fd, *buf)
	for err == syscall.EINTR {
		n, err = syscall.Read(fd, *buf)
	}
	if err == syscall.EAGAIN {
		l.from.Put(buf)
		return false
	}
	l.buf, l.n = buf, max(n, 0)
	if l.err = os.NewSyscallError("read", err); err == nil && n == 0 {
		l.err = io.EOF
	}
	return true
}

// quiet reports whether nothing has come on an idle connection. What comes there is its end, or nothing that anybody asked
// for, and a request must not be sent into it: nobody could tell whether it was carried out.
func (c *conn) quiet() bool {
	if c.raw == nil {
		return true
	}
	return c.raw.Read(c.peeked) == nil && c.silent
}
