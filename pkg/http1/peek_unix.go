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
		c.silent = isSilent(int(fd))
		return true // whatever was found: do not wait for more
	}
	c.asking.arrived = func(fd uintptr) bool { return c.asked(int(fd)) }
	c.lent.arrived = func(fd uintptr) bool { return c.lent.read(int(fd)) }
}

// isSilent reports whether nothing has come, not even the end.
func isSilent(fd int) bool {
	var one [1]byte
	_, _, err := syscall.Recvfrom(fd, one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	return err == syscall.EAGAIN
}

// read reports whether there was something to be read, if only the end.
func (l *lent) read(fd int) (there bool) {
	buf := l.from.Get().(*[]byte)
	if l.n, there, l.err = readNow(fd, *buf); !there {
		l.from.Put(buf)
		return false
	}
	l.buf = buf
	return true
}

// asked sends the request, if that is still to be done, and reports whether something of the answer was there.
func (c *conn) asked(fd int) (there bool) {
	a := &c.asking
	if a.by != nil {
		looked := a.idle
		var whole bool
		if whole, a.err = c.send(isSilent, fd); a.err != nil {
			return true
		}
		// Nothing can have come before a request of which all was sent since the look. Otherwise something may have, and the
		// runtime have noted it before this read began: it would not say so again.
		if whole && looked {
			return false
		}
	}
	a.n, there, a.err = readNow(fd, a.into)
	return there
}

// readNow reads what is there.
func readNow(fd int, p []byte) (n int, there bool, err error) {
	n, err = syscall.Read(fd, p)
	for err == syscall.EINTR {
		n, err = syscall.Read(fd, p)
	}
	switch {
	case err == syscall.EAGAIN:
		return 0, false, nil
	case err != nil:
		return 0, true, os.NewSyscallError("read", err)
	case n == 0 && len(p) > 0:
		return 0, true, io.EOF
	}
	return n, true, nil
}

// quiet reports whether nothing has come on an idle connection. What comes there is its end, or nothing that anybody asked
// for, and a request must not be sent into it: nobody could tell whether it was carried out.
func (c *conn) quiet() bool {
	if c.raw == nil {
		return true
	}
	return c.raw.Read(c.peeked) == nil && c.silent
}
