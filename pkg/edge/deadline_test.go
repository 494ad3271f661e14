package edge

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"
)

// deadlines counts those that a connection is given in earnest.
type deadlines struct {
	net.Conn
	reads, writes atomic.Int64
}

func (d *deadlines) SetWriteDeadline(t time.Time) error {
	d.writes.Add(1)
	return d.Conn.SetWriteDeadline(t)
}

func (d *deadlines) SetReadDeadline(t time.Time) error {
	d.reads.Add(1)
	return d.Conn.SetReadDeadline(t)
}

// aConn is one whose other end is silent until something is written to it.
func aConn(t *testing.T) (c *conn, given *deadlines, other net.Conn) {
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
	given = &deadlines{Conn: at}
	t.Cleanup(func() { other.Close(); at.Close() })
	return newConn(given, new(sentry)), given, other
}

// endSoon gives the connection a deadline that ends sooner than what is wanted.
func endSoon(t *testing.T, d *deadline, wanted time.Time) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.wanted, d.given, d.over = wanted, time.Now().Add(50*time.Millisecond), false
	if err := d.give(d.given); err != nil {
		t.Fatal(err)
	}
}

// A deadline holds for the read that comes next, and again for the one after it; what was lifted holds no more.
func TestDeadlineBeforeRead(t *testing.T) {
	c, given, other := aConn(t)
	b := make([]byte, 8)
	for range 5 {
		_ = c.SetReadDeadline(time.Now().Add(time.Hour))
		_ = c.SetReadDeadline(time.Time{})
	}
	if n := given.reads.Load(); n > 0 {
		t.Errorf("%d deadlines were given, and nobody reads", n)
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
	if n := given.reads.Load(); n != 2 {
		t.Errorf("%d deadlines were given, want one and its end", n)
	}
}

// A deadline that comes while a read waits ends it, as the server does when the handler is done; one that is lifted does not.
func TestDeadlineWhileReading(t *testing.T) {
	for name, set := range map[string]func(*conn, time.Time) error{"read": (*conn).SetReadDeadline, "both": (*conn).SetDeadline} {
		t.Run(name, func(t *testing.T) {
			c, _, other := aConn(t)
			read := make(chan error)
			go func() {
				for range 2 {
					_, err := c.Read(make([]byte, 8))
					read <- err
				}
			}()
			waitUntil(t, &c.reads)
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

// The connection is given a deadline that ends sooner, and none that ends later: what ends too soon for it waits on.
func TestDeadlinePutOff(t *testing.T) {
	c, given, other := aConn(t)
	for range 3 { // requests of which each is there at once
		_ = c.SetReadDeadline(time.Now().Add(time.Hour))
		_, _ = other.Write([]byte("x"))
		if _, err := c.Read(make([]byte, 8)); err != nil {
			t.Fatal(err)
		}
	}
	if n := given.reads.Load(); n != 1 {
		t.Errorf("%d deadlines were given for reads under three", n)
	}
	for name, wanted := range map[string]time.Time{"lifted": {}, "later": time.Now().Add(time.Hour)} {
		endSoon(t, &c.reads, wanted)
		read := make(chan error)
		go func() { _, err := c.Read(make([]byte, 8)); read <- err }()
		select {
		case err := <-read:
			t.Fatalf("%s: %v", name, err)
		case <-time.After(150 * time.Millisecond):
		}
		if _, err := other.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if err := <-read; err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A write that was interrupted for nothing goes on where it was.
func TestDeadlineOfWritePutOff(t *testing.T) {
	c, _, other := aConn(t)
	text := make([]byte, 16<<20) // more than the socket takes
	for i := range text {
		text[i] = byte(i % 251)
	}
	endSoon(t, &c.writes, time.Time{})
	wrote := make(chan error, 1)
	go func() {
		n, err := c.Write(text)
		if err == nil && n < len(text) {
			err = io.ErrShortWrite
		}
		wrote <- err
	}()
	select {
	case err := <-wrote:
		t.Fatalf("nobody reads, and it ended: %v", err)
	case <-time.After(150 * time.Millisecond):
	}
	got := make([]byte, len(text))
	if _, err := io.ReadFull(other, got); err != nil || !bytes.Equal(got, text) {
		t.Fatalf("%v, or other bytes", err)
	}
	if err := <-wrote; err != nil {
		t.Error(err)
	}
}

// Of two that one end has cut short, both go on.
func TestDeadlineOfTwo(t *testing.T) {
	c, given, _ := aConn(t)
	endSoon(t, &c.writes, time.Now().Add(time.Hour))
	for range 2 {
		if err := c.writes.begin(); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(60 * time.Millisecond) // it has passed
	for i := range 2 {
		if !c.writes.tooSoon(os.ErrDeadlineExceeded) {
			t.Errorf("writer %d is told that its time is over", i)
		}
	}
	if n := given.writes.Load(); n != 2 {
		t.Errorf("%d deadlines were given, want the one that was too soon and the one that is wanted", n)
	}
	c.writes.end()
	if err := c.SetWriteDeadline(time.Now().Add(-time.Second)); err != nil || given.writes.Load() != 3 {
		t.Errorf("%v, or the end of one that still writes was not given", err)
	}
}

// A write has a deadline though nobody set one, and what somebody set holds in its place.
func TestDeadlineOfWrites(t *testing.T) {
	c, given, _ := aConn(t)
	write := func() error { _, err := c.Write([]byte("x")); return err }
	for range 3 {
		if err := write(); err != nil {
			t.Fatal(err)
		}
	}
	if n := given.writes.Load(); n != 1 || time.Until(c.writes.given) < writePause/2 {
		t.Errorf("%d deadlines were given for three writes at once, the last %v", n, c.writes.given)
	}
	_ = c.SetWriteDeadline(time.Now().Add(-time.Second))
	if err := write(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%v, under another's deadline", err)
	}
	_ = c.SetWriteDeadline(time.Time{})
	if err := write(); err != nil || time.Until(c.writes.given) < writePause/2 {
		t.Errorf("%v after that was lifted, under %v", err, c.writes.given)
	}
}

// Who never reads ends the write in time, and one that comes long after the last has time of its own.
func TestPauseOfWrites(t *testing.T) {
	c, _, other := aConn(t)
	c.writes.pause = 50 * time.Millisecond
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * c.writes.pause) // what was given has passed
	if _, err := c.Write([]byte("x")); err != nil {
		t.Errorf("a later write: %v", err)
	}
	if n, err := c.Write(make([]byte, 16<<20)); !errors.Is(err, os.ErrDeadlineExceeded) || n == 0 {
		t.Errorf("nobody reads: wrote %d, %v", n, err)
	}
	other.Close()
}

// waitUntil waits until something waits under the deadline.
func waitUntil(t *testing.T, d *deadline) {
	t.Helper()
	for waits := false; !waits; time.Sleep(time.Millisecond) {
		d.mu.Lock()
		waits = d.waits > 0
		d.mu.Unlock()
	}
}
