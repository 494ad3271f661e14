package http1

// Lender lends buffers, which are *[]byte. It is a *sync.Pool.
type Lender interface {
	Get() any
	Put(any)
}

// lent is a read under way whose buffer is taken when there is something to be read.
type lent struct {
	arrived func(fd uintptr) bool // nil: cannot be done
	from    Lender
	buf     *[]byte
	n       int
	err     error
	first   [1]byte // what body.await reads, and drained
}

// readLent reads into a buffer out of lend, which it takes in any case: when there is something to be read, if that can be seen.
func (c *conn) readLent(lend Lender) (buf *[]byte, n int, err error) {
	if c.lent.arrived != nil {
		return c.readArrived(lend)
	}
	buf = lend.Get().(*[]byte)
	n, err = c.Read(*buf)
	return buf, n, err
}

func (c *conn) readArrived(lend Lender) (*[]byte, int, error) {
	c.lent.from = lend
	err := c.raw.Read(c.lent.arrived)
	buf, n := c.lent.buf, c.lent.n
	if err == nil {
		err = c.lent.err
	}
	c.lent.buf, c.lent.n, c.lent.err = nil, 0, nil
	if buf == nil {
		buf = lend.Get().(*[]byte)
	}
	return buf, n, err
}
