package edge

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"
)

// aServing is a connection on which a request runs.
func aServing(t *testing.T) (c *headConn, given *deadlines, other net.Conn) {
	c, given, other = aHeadConn(t)
	c.state(http.StateActive)
	return c, given, other
}

// waitWatching waits until the read of the connection watches.
func waitWatching(t *testing.T, c *headConn) {
	t.Helper()
	for waits := false; !waits; time.Sleep(100 * time.Microsecond) {
		c.watch.sentry.mu.Lock()
		waits = c.watch.waits
		c.watch.sentry.mu.Unlock()
	}
}

// The server's wait for the end of its caller is interrupted when the answer has gone, and the connection was not touched.
func TestWatchInterrupted(t *testing.T) {
	c, given, other := aServing(t)
	_, _ = other.Write([]byte("x")) // of the next request
	read := make(chan error)
	for _, before := range []bool{false, true} {
		if before { // the interruption comes first
			_ = c.SetReadDeadline(time.Unix(1, 0))
		}
		go func() { _, err := c.Read(make([]byte, 1)); read <- err }()
		if !before {
			waitWatching(t, c)
			_ = c.SetReadDeadline(time.Unix(1, 0))
		}
		if err := <-read; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("before %v: %v", before, err)
		}
		_ = c.SetReadDeadline(time.Time{})
	}
	if n := given.reads.Load(); n != 0 {
		t.Errorf("%d deadlines were given", n)
	}
	c.state(http.StateIdle)
	if n, err := c.Read(make([]byte, 8)); n != 1 || err != nil {
		t.Errorf("the next request: %d, %v", n, err)
	}
}

// A request that is no longer young reads; so does what is read byte by byte where no request runs.
func TestWatchEnds(t *testing.T) {
	c, _, other := aServing(t)
	_, _ = other.Write([]byte("xyz"))
	b := make([]byte, 1)
	if n, err := c.Read(b); n != 1 || err != nil || c.watch.sentry.round < 2 {
		t.Errorf("read %d, %v at look %d", n, err, c.watch.sentry.round)
	}
	c.state(http.StateHijacked)
	rounds := c.watch.sentry.round
	if n, err := c.Read(b); n != 1 || err != nil || c.watch.sentry.round != rounds {
		t.Errorf("hijacked: read %d, %v", n, err)
	}
	c.state(http.StateActive)
	read := make(chan error)
	go func() {
		_, _ = c.Read(b)
		_, err := c.Read(b)
		read <- err
	}()
	waitWatching(t, c)
	c.Close()
	if err := <-read; !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
	if c.watch.sentry.first != nil {
		t.Error("it is still watched")
	}
}

// serveWatched serves the handler as the proxy does.
func serveWatched(t *testing.T, handler http.HandlerFunc) (addr string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: handler}
	l = WatchHeads(server, l)
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	return l.Addr().String()
}

// A caller who leaves is noticed, whenever he does.
func TestWatchCallerLeaves(t *testing.T) {
	left, began := make(chan struct{}), make(chan struct{})
	addr := serveWatched(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		began <- struct{}{}
		<-r.Context().Done()
		left <- struct{}{}
	})
	for _, after := range []time.Duration{0, 10 * time.Millisecond, 100 * time.Millisecond} {
		ctx, cancel := context.WithCancel(t.Context())
		req, _ := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr, http.NoBody)
		go func() {
			if resp, err := http.DefaultClient.Do(req); err == nil {
				resp.Body.Close()
			}
		}()
		<-began
		time.Sleep(after)
		cancel()
		<-left
	}
}

// Requests of any length, one after the other and sent ahead, are all answered in order.
func TestWatchManyRequests(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	addr := serveWatched(t, func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		d, _ := time.ParseDuration(r.Header.Get("Takes"))
		time.Sleep(d)
		_, _ = w.Write(text)
	})
	var all sync.WaitGroup
	defer all.Wait()
	for caller := range 20 {
		takes := make([]time.Duration, 30)
		for i := range takes {
			takes[i] = time.Duration(random.IntN(4)) * 20 * time.Millisecond * time.Duration(random.IntN(2))
		}
		all.Go(func() {
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			answers := bufio.NewReader(conn)
			ask := func(i int) {
				text := fmt.Sprintf("%d-%d", caller, i)
				fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: x\r\nTakes: %v\r\nContent-Length: %d\r\n\r\n%s", takes[i], len(text), text)
			}
			hear := func(i int) {
				resp, err := http.ReadResponse(answers, nil)
				if err != nil {
					t.Errorf("caller %d, answer %d: %v", caller, i, err)
					return
				}
				if text, _ := io.ReadAll(resp.Body); string(text) != fmt.Sprintf("%d-%d", caller, i) {
					t.Errorf("caller %d, answer %d is %q", caller, i, text)
				}
			}
			for i := 0; i < len(takes); i += 2 { // two at a time
				ask(i)
				if caller%2 == 0 {
					hear(i)
				}
				ask(i + 1)
				if caller%2 == 1 {
					hear(i)
				}
				hear(i + 1)
			}
		})
	}
}
