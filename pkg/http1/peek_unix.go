//go:build unix

package http1

import (
	"net"
	"syscall"
)

// watch prepares quiet.
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
}

// quiet reports whether nothing has come on an idle connection. What comes there is its end, or nothing that anybody asked
// for, and a request must not be sent into it: nobody could tell whether it was carried out.
func (c *conn) quiet() bool {
	if c.raw == nil {
		return true
	}
	return c.raw.Read(c.peeked) == nil && c.silent
}
