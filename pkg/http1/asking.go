package http1

import "bufio"

// asking is a request on its way. It is sent by whoever waits for the answer, when that wait has begun already: a read behind it
// would first be tried, and find nothing yet. One look tells before that whether the connection is still good.
type asking struct {
	arrived func(fd uintptr) bool // nil: cannot be done
	by      *bufio.Writer         // has the request, or the end of it; nil: that was sent
	idle    bool                  // the connection was, and nobody has looked yet whether it is still good
	into    []byte
	n       int
	err     error
}

// hear reads what comes of the answer, and sends the request before that.
func (c *conn) hear(p []byte) (int, error) {
	a := &c.asking
	if a.by == nil {
		return c.Conn.Read(p)
	}
	a.into, a.n, a.err = p, 0, nil
	err := c.raw.Read(a.arrived)
	if err == nil {
		err = a.err
	}
	a.by, a.into = nil, nil
	return a.n, err
}

// send sends the request, if the connection is good, and reports whether the upstream has all of it. One that took a part only may
// have answered that, so that it is no error.
func (c *conn) send(isSilent func(fd int) bool, fd int) (whole bool, err error) {
	a := &c.asking
	w := a.by
	a.by = nil
	if a.idle {
		if a.idle = false; !isSilent(fd) {
			return false, errStale
		}
	}
	if err = w.Flush(); err != nil && c.broken && c.wrote {
		return false, nil
	}
	return err == nil, err
}
