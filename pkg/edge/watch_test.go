package edge

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// aServing is a connection on which a request runs.
func aServing(t *testing.T) (c *headConn, given *deadlines, other net.Conn) {
	c, given, other = aHeadConn(t)
	c.state(http.StateActive)
	return c, given, other
}

// watched reports whether the connection is in the sentry's list, and whether it reads ahead.
func watched(c *headConn) (waits, reads bool) {
	c.watch.sentry.mu.Lock()
	defer c.watch.sentry.mu.Unlock()
	return c.watch.waits, c.watch.reads
}

// readAhead does what the server does when it has read a request: it waits for a byte of the next.
func readAhead(t *testing.T, c *headConn) {
	t.Helper()
	if n, err := c.Read(make([]byte, 1)); n != 0 || err != nil {
		t.Fatalf("read %d, %v", n, err)
	}
}

// waitReading waits until the request is old enough for the watch to read.
func waitReading(t *testing.T, c *headConn) {
	t.Helper()
	for reads := false; !reads; time.Sleep(time.Millisecond) {
		_, reads = watched(c)
	}
}

// The connection of a request that is answered while it is young is not touched, and what came meanwhile is of the next.
func TestWatchOfTheYoung(t *testing.T) {
	c, given, other := aServing(t)
	_, _ = other.Write([]byte("x"))
	readAhead(t, c)
	if waits, _ := watched(c); !waits {
		t.Error("it is not watched")
	}
	c.done()
	readAhead(t, c) // of a server that was slow to begin
	if waits, reads := watched(c); waits || reads || given.reads.Load() != 0 {
		t.Errorf("watched %v, %v, and %d deadlines were given", waits, reads, given.reads.Load())
	}
	time.Sleep(3 * youth)
	c.state(http.StateIdle)
	if n, err := c.Read(make([]byte, 8)); n != 1 || err != nil {
		t.Errorf("the next request: %d, %v", n, err)
	}
}

// One that is old is watched by a read, which ends with it; a byte that it has got is the first of the next request.
func TestWatchOfTheOld(t *testing.T) {
	for name, early := range map[string]string{"silence": "", "a request ahead": "xy"} {
		t.Run(name, func(t *testing.T) {
			c, _, other := aServing(t)
			left := make(chan struct{})
			c.leave = sync.OnceFunc(func() { close(left) })
			readAhead(t, c)
			waitReading(t, c)
			if _, err := other.Write([]byte(early)); err != nil {
				t.Fatal(err)
			}
			for had := false; !had && early != ""; time.Sleep(time.Millisecond) {
				c.mu.Lock()
				had = len(c.ahead) > 0
				c.mu.Unlock()
			}
			c.done()
			c.state(http.StateIdle)
			if early == "" {
				_, _ = other.Write([]byte("xy"))
			}
			got := make([]byte, 2)
			if _, err := io.ReadFull(c, got); string(got) != "xy" || err != nil {
				t.Errorf("the next request: %q, %v", got, err)
			}
			select {
			case <-left:
				t.Error("the caller has left")
			default:
			}
		})
	}
}

// Who takes the connection has all of it, and the requests of one that is closed end.
func TestWatchTaken(t *testing.T) {
	c, _, other := aServing(t)
	var left atomic.Bool
	c.leave = func() { left.Store(true) }
	readAhead(t, c)
	waitReading(t, c)
	c.state(http.StateHijacked)
	_, _ = other.Write([]byte("x"))
	if n, err := c.Read(make([]byte, 1)); n != 1 || err != nil {
		t.Errorf("read %d, %v", n, err)
	}
	c.Close()
	if left.Load() {
		t.Error("closing what was taken ends the request")
	}
	c.done()
	if !left.Load() {
		t.Error("the context of a connection that is over is kept")
	}
	c, _, _ = aServing(t)
	c.leave = func() { left.Store(true) }
	left.Store(false)
	if c.Close(); !left.Load() {
		t.Error("closing does not end the request")
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
