package edge

import (
	"errors"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"
)

// deadlines counts those that a connection is given in earnest.
type deadlines struct {
	net.Conn
	set     atomic.Int64
	written time.Time // the last one of writes
}

func (d *deadlines) SetWriteDeadline(t time.Time) error {
	d.written = t
	return d.Conn.SetWriteDeadline(t)
}

func (d *deadlines) SetReadDeadline(t time.Time) error {
	d.set.Add(1)
	return d.Conn.SetReadDeadline(t)
}

// aHeadConn is one whose other end is silent until something is written to it.
func aHeadConn(t *testing.T) (c *headConn, set *atomic.Int64, other net.Conn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if other, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	at, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	counted := &deadlines{Conn: at}
	t.Cleanup(func() { other.Close(); at.Close() })
	return &headConn{Conn: counted}, &counted.set, other
}

// A deadline holds for the read that comes next, and again for the one after it; what was lifted holds no more.
func TestDeadlineBeforeRead(t *testing.T) {
	c, set, other := aHeadConn(t)
	b := make([]byte, 8)
	for range 5 {
		_ = c.SetReadDeadline(time.Now().Add(time.Hour))
		_ = c.SetReadDeadline(time.Time{})
	}
	if n := set.Load(); n > 0 {
		t.Errorf("%d deadlines were set, and nobody reads", n)
	}
	_ = c.SetReadDeadline(time.Now().Add(-time.Second))
	for range 2 {
		if _, err := c.Read(b); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("read: %v", err)
		}
	}
	_ = c.SetReadDeadline(time.Time{})
	if _, err := other.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(b); n != 1 || err != nil {
		t.Fatalf("read %d, %v", n, err)
	}
	if n := set.Load(); n != 2 {
		t.Errorf("%d deadlines were set, want one and its end", n)
	}
}

// A deadline that comes while a read waits ends it, as the server does when the handler is done; one that is lifted does not.
func TestDeadlineWhileReading(t *testing.T) {
	for name, set := range map[string]func(*headConn, time.Time) error{"read": (*headConn).SetReadDeadline, "both": (*headConn).SetDeadline} {
		t.Run(name, func(t *testing.T) {
			c, _, other := aHeadConn(t)
			read := make(chan error)
			go func() {
				for range 2 {
					_, err := c.Read(make([]byte, 8))
					read <- err
				}
			}()
			for reading := false; !reading; time.Sleep(time.Millisecond) {
				c.mu.Lock()
				reading = c.reading
				c.mu.Unlock()
			}
			if err := set(c, time.Now().Add(-time.Second)); err != nil {
				t.Fatal(err)
			}
			if err := <-read; !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("read: %v", err)
			}
			if err := <-read; !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("read again: %v", err)
			}
			_ = set(c, time.Time{})
			go func() { _, err := c.Read(make([]byte, 8)); read <- err }()
			if _, err := other.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
			if err := <-read; err != nil {
				t.Fatalf("read: %v", err)
			}
		})
	}
}

// A write has a deadline though nobody set one, and that which somebody set is left alone.
func TestDeadlineOfWrites(t *testing.T) {
	c, _, _ := aHeadConn(t)
	under := c.Conn.(*deadlines)
	write := func() error { _, err := c.Write([]byte("x")); return err }
	if err := write(); err != nil || time.Until(under.written) < writePause/2 {
		t.Fatalf("%v, the deadline is %v", err, under.written)
	}
	first := under.written
	if err := write(); err != nil || under.written != first {
		t.Errorf("%v, and another deadline for the next write", err)
	}
	c.armed.Store(time.Now().Add(-writePause).UnixNano()) // long ago
	if err := write(); err != nil || !under.written.After(first) {
		t.Errorf("%v, and no new deadline after a while", err)
	}
	past := time.Now().Add(-time.Second)
	_ = c.SetWriteDeadline(past)
	if err := write(); !errors.Is(err, os.ErrDeadlineExceeded) || under.written != past {
		t.Errorf("%v, under another's deadline", err)
	}
	_ = c.SetWriteDeadline(time.Time{})
	if err := write(); err != nil || time.Until(under.written) < writePause/2 {
		t.Errorf("%v, after that was lifted", err)
	}
}
