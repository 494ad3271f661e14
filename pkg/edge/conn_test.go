package edge

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// until waits for what has to come, and not for ever.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(what)
		}
	}
}

// hear takes what has to come on a channel.
func hear[T any](t *testing.T, from <-chan T, what string) (got T) {
	t.Helper()
	select {
	case got = <-from:
	case <-time.After(20 * time.Second):
		t.Fatal(what)
	}
	return got
}

// aServing is a connection on which a request runs, of which the server has read all. It is no longer young when the sentry has
// looked twice, which it does when it is told to.
func aServing(t *testing.T) (c *conn, given *deadlines, other net.Conn) {
	c, given, other = aConn(t)
	c.watch.sentry.runs = true // by hand
	c.state(http.StateActive)
	if n, err := c.Read(make([]byte, 1)); n != 0 || err != nil {
		t.Fatalf("read %d, %v", n, err)
	}
	return c, given, other
}

// watched reports whether the watch will listen, and whether it does.
func watched(c *conn) (listed, listening bool) {
	c.watch.sentry.mu.Lock()
	defer c.watch.sentry.mu.Unlock()
	return c.watch.listed, c.watch.listening
}

// age makes the request of the connection old enough for the watch to listen.
func age(t *testing.T, c *conn) {
	t.Helper()
	c.watch.sentry.look()
	if listed, listening := watched(c); !listed || listening {
		t.Fatalf("after one look it is listed %v, listening %v", listed, listening)
	}
	c.watch.sentry.look()
	if _, listening := watched(c); !listening {
		t.Fatal("nobody listens")
	}
}

// The connection of a request that is answered while it is young is not touched, and what came meanwhile is of the next.
func TestYoungRequest(t *testing.T) {
	c, given, other := aServing(t)
	_, _ = other.Write([]byte("x"))
	c.state(http.StateIdle)
	c.watch.sentry.look()
	c.watch.sentry.look()
	if listed, listening := watched(c); listed || listening || given.reads.Load() != 0 {
		t.Errorf("listed %v, listening %v, and %d deadlines were given", listed, listening, given.reads.Load())
	}
	if n, err := c.Read(make([]byte, 8)); n != 1 || err != nil {
		t.Errorf("the next request: %d, %v", n, err)
	}
}

// To an old one the watch listens, as long as it runs; a byte that came meanwhile is the first of the next request, and of its head.
func TestOldRequest(t *testing.T) {
	for name, early := range map[string]string{"silence": "", "a request ahead": "xy"} {
		t.Run(name, func(t *testing.T) {
			c, _, other := aServing(t)
			c.leave = func() { t.Error("the caller has left") }
			age(t, c)
			if _, err := other.Write([]byte(early)); err != nil {
				t.Fatal(err)
			}
			until(t, "nothing was read ahead", func() bool {
				c.mu.Lock()
				defer c.mu.Unlock()
				return len(c.ahead) > 0 || early == ""
			})
			c.state(http.StateIdle)
			if early == "" {
				_, _ = other.Write([]byte("xy"))
			}
			got := make([]byte, 2)
			if _, err := io.ReadFull(c, got); string(got) != "xy" || err != nil || string(c.head) != "xy" {
				t.Errorf("the next request: %q, %v, and its head %q", got, err, c.head)
			}
		})
	}
}

// A body that goes on after what seemed to be its end, since a read was of one byte, is read by the server alone.
func TestBodyReadByteByByte(t *testing.T) {
	c, _, other := aServing(t)
	age(t, c)
	go func() { _, _ = other.Write([]byte("abc")) }()
	got := make([]byte, 3)
	for i := range got {
		if _, err := io.ReadFull(c, got[i:i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if _, listening := watched(c); string(got) != "abc" || listening {
		t.Errorf("read %q, listening %v", got, listening)
	}
}

// Whoever takes the connection has all of it; its context ends when it is closed by the server, and not by who has taken it.
func TestTakenConnection(t *testing.T) {
	c, _, other := aServing(t)
	var left atomic.Bool
	c.leave = func() { left.Store(true) }
	age(t, c)
	c.state(http.StateHijacked)
	if _, listening := watched(c); listening {
		t.Error("it is listened to")
	}
	_, _ = other.Write([]byte("x"))
	if n, err := c.Read(make([]byte, 1)); n != 1 || err != nil {
		t.Errorf("read %d, %v", n, err)
	}
	if c.Close(); left.Load() {
		t.Error("closing what was taken ends the request")
	}
	c, _, _ = aServing(t)
	c.leave = func() { left.Store(true) }
	if c.Close(); !left.Load() {
		t.Error("closing does not end the request")
	}
	if listed, _ := watched(c); listed {
		t.Error("what is closed is watched")
	}
}

// A deadline that the handler has set ends its request when it passes, as the server's own read would; one that is set while the
// watch ends is not lost, and does not keep the watch.
func TestDeadlineOfAnOldRequest(t *testing.T) {
	c, _, _ := aServing(t)
	left := make(chan struct{})
	c.leave = sync.OnceFunc(func() { close(left) })
	age(t, c)
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	hear(t, left, "the deadline was passed over")
	for range 200 {
		c, _, _ := aServing(t)
		var closed atomic.Bool
		c.leave = func() {
			if !closed.Load() {
				t.Error("the caller has left")
			}
		}
		age(t, c)
		later := time.Now().Add(time.Hour)
		set := make(chan struct{})
		go func() {
			defer close(set)
			for range 20 {
				_ = c.SetReadDeadline(later)
			}
		}()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			c.state(http.StateIdle)
		}()
		hear(t, ended, "the watch does not end")
		<-set
		if got := c.reads.isWanted(); got != later {
			t.Fatalf("the deadline is %v", got)
		}
		closed.Store(true)
		c.Close()
	}
}

// serve serves the handler as the proxy does.
func serve(t *testing.T, handler http.HandlerFunc) (server *http.Server, addr string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server = &http.Server{Handler: handler}
	go Serve(server, l)
	t.Cleanup(func() { server.Close() })
	return server, l.Addr().String()
}

// dial connects a caller, who waits for nothing for ever.
func dial(t *testing.T, addr string) (c net.Conn, answers *bufio.Reader) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return c, bufio.NewReader(c)
}

// answer reads one answer.
func readAnswer(t *testing.T, from *bufio.Reader) (status int, body string) {
	t.Helper()
	resp, err := http.ReadResponse(from, nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// A caller who leaves is noticed, whenever he does; so is a server that closes.
func TestCallerLeaves(t *testing.T) {
	left, began := make(chan error, 1), make(chan struct{}, 1)
	server, addr := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		began <- struct{}{}
		<-r.Context().Done()
		left <- r.Context().Err()
	})
	for _, after := range []time.Duration{0, 10 * time.Millisecond, 100 * time.Millisecond} {
		for _, body := range []string{"", "text"} {
			c, _ := dial(t, addr)
			fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
			hear(t, began, "no request")
			time.Sleep(after)
			c.Close()
			if err := hear(t, left, "nobody noticed that the caller left"); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		}
	}
	c, _ := dial(t, addr)
	fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	hear(t, began, "no request")
	server.Close()
	hear(t, left, "the server was closed, and the request goes on")
}

// What is answered past the handler leaves no watch behind, which would take bytes of the next request.
func TestAnsweredPastTheHandler(t *testing.T) {
	_, addr := serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	for range 5 {
		c, answers := dial(t, addr)
		fmt.Fprint(c, "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n")
		if status, _ := readAnswer(t, answers); status != http.StatusOK {
			t.Fatal(status)
		}
		time.Sleep(3 * youth)
		for _, piece := range []string{"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n", "01234", "56789"} {
			fmt.Fprint(c, piece)
			time.Sleep(10 * time.Millisecond)
		}
		if _, body := readAnswer(t, answers); body != "0123456789" {
			t.Fatalf("the body arrived as %q", body)
		}
	}
}

// A trailer whose last byte comes alone, into the only room that the server's buffer has left, is read, and the next request too.
func TestLongTrailer(t *testing.T) {
	_, addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			t.Error(err)
		}
		time.Sleep(3 * youth)
		fmt.Fprint(w, len(r.Trailer.Get("X-Long")))
	})
	c, answers := dial(t, addr)
	const end = "\r\n\r\n"
	trailer := "X-Long: " + strings.Repeat("x", 4096-len("X-Long: ")-len(end)) + end
	fmt.Fprint(c, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTrailer: X-Long\r\n\r\n1\r\na\r\n0\r\n")
	time.Sleep(50 * time.Millisecond)
	fmt.Fprint(c, trailer[:4095])
	time.Sleep(50 * time.Millisecond)
	fmt.Fprint(c, trailer[4095:])
	for range 2 {
		if status, body := readAnswer(t, answers); status != http.StatusOK || body != "4084" && body != "0" {
			t.Fatalf("%d %q", status, body)
		}
		fmt.Fprint(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na")
	}
}

// Two lengths are seen in every request of a connection, also in one of which a byte was read ahead.
func TestTwoLengthsLater(t *testing.T) {
	_, addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		time.Sleep(4 * youth)
		fmt.Fprint(w, twoLengths(r))
	})
	const one, two = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
	c, answers := dial(t, addr)
	fmt.Fprint(c, one)
	for i, next := range []string{two, one, two, ""} {
		time.Sleep(3 * youth) // it is listened to
		fmt.Fprint(c, next)
		if _, got := readAnswer(t, answers); got != fmt.Sprint(i%2 == 1) {
			t.Errorf("request %d has two lengths: %s", i, got)
		}
	}
}

// A handler that takes the connection, also late, has all that was sent behind its request. The context of the connection, which the
// server's keeps a hold of, ends when it has returned.
func TestHandlerTakesConnection(t *testing.T) {
	ended := make(chan struct{}, 1)
	_, addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
		c := connOf(r)
		leave := c.leave
		c.leave = func() { leave(); ended <- struct{}{} }
		if r.Header.Get("Late") != "" {
			time.Sleep(4 * youth)
		}
		nc, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer nc.Close()
		_, _ = io.WriteString(nc, "taken\n")
		early, _ := buffered.Peek(buffered.Reader.Buffered())
		_, _ = io.Copy(nc, io.MultiReader(bytes.NewReader(early), nc))
		if err := r.Context().Err(); err != nil {
			t.Error(r.Header, err)
		}
	})
	for _, late := range []string{"", "Late: 1\r\n"} {
		c, answers := dial(t, addr)
		fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: x\r\n"+late+"\r\n")
		if late != "" {
			time.Sleep(3 * youth)
		}
		fmt.Fprint(c, "abc")
		if line, err := answers.ReadString('\n'); line != "taken\n" {
			t.Fatal(line, err)
		}
		fmt.Fprint(c, "def")
		_ = c.(*net.TCPConn).CloseWrite()
		if text, err := io.ReadAll(answers); string(text) != "abcdef" || err != nil {
			t.Errorf("it has %q, %v", text, err)
		}
		hear(t, ended, "the context of the connection is kept")
	}
}

// A handler that gives up ends its connection, and no watch is left.
func TestHandlerPanics(t *testing.T) {
	conns := make(chan *conn, 1)
	_, addr := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		conns <- connOf(r)
		if r.Header.Get("Late") != "" {
			time.Sleep(4 * youth)
		}
		panic(http.ErrAbortHandler)
	})
	for _, late := range []string{"", "Late: 1\r\n"} {
		c, answers := dial(t, addr)
		fmt.Fprint(c, "POST / HTTP/1.1\r\nHost: x\r\n"+late+"Content-Length: 1\r\n\r\na")
		if _, err := answers.ReadByte(); !errors.Is(err, io.EOF) {
			t.Error(err)
		}
		ours := hear(t, conns, "no request")
		until(t, "it is watched still", func() bool {
			listed, listening := watched(ours)
			return !listed && !listening
		})
	}
}

// Requests of any length, one after the other and sent ahead, are all answered in order.
func TestManyRequests(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	_, addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		d, err := time.ParseDuration(r.Header.Get("Takes"))
		if err != nil {
			t.Error(err)
		}
		time.Sleep(d)
		_, _ = w.Write(text)
	})
	var all sync.WaitGroup
	defer all.Wait()
	for caller := range 20 {
		takes, cuts := make([]time.Duration, 30), make([]int, 30)
		for i := range takes {
			cuts[i] = 1 + random.IntN(120)
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
				request := fmt.Sprintf("POST / HTTP/1.1\r\nHost: x\r\nTakes: %v\r\nContent-Length: %d\r\n\r\n%s", takes[i], len(text), text)
				if cut := cuts[i]; cut < len(request) { // in two pieces
					fmt.Fprint(conn, request[:cut])
					time.Sleep(takes[(i+1)%len(takes)])
					request = request[cut:]
				}
				fmt.Fprint(conn, request)
			}
			listen := func(i int) {
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
					listen(i)
				}
				ask(i + 1)
				if caller%2 == 1 {
					listen(i)
				}
				listen(i + 1)
			}
		})
	}
}
