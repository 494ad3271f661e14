package redistest

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Wire is a connection to a server that can be made slow.
type Wire struct {
	listener net.Listener
	to       string
	delay    atomic.Int64 // ns, for what comes back

	mu    sync.Mutex // guards conns
	conns map[net.Conn]bool
}

// Through puts a Wire in front of a server, until the end of the test.
func Through(t testing.TB, s *Server) *Wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &Wire{listener: l, to: s.Addr(), conns: map[net.Conn]bool{}}
	var done sync.WaitGroup
	done.Go(func() { w.serve(&done) })
	t.Cleanup(func() {
		l.Close()
		w.cut()
		done.Wait()
	})
	return w
}

// URL is what REDIS_URL would be.
func (w *Wire) URL() string { return "redis://" + w.listener.Addr().String() }

// Slow delays all that comes back.
func (w *Wire) Slow(d time.Duration) { w.delay.Store(int64(d)) }

func (w *Wire) serve(done *sync.WaitGroup) {
	for {
		near, err := w.listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", w.to)
		if err != nil {
			near.Close()
			continue
		}
		w.keep(near, far)
		done.Go(func() { w.copy(far, near, false) })
		done.Go(func() { w.copy(near, far, true) })
	}
}

func (w *Wire) keep(conns ...net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range conns {
		w.conns[c] = true
	}
}

func (w *Wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.conns {
		c.Close()
	}
}

func (w *Wire) copy(to, from net.Conn, back bool) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if back {
				time.Sleep(time.Duration(w.delay.Load()))
			}
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
