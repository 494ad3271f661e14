package http1

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a Transport and what it dials.
type rig struct {
	*Transport
	url   string
	dials atomic.Int64
}

func newRig(t *testing.T, url string, o Options) *rig {
	t.Helper()
	r := &rig{url: url}
	o.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		r.dials.Add(1)
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
	if o.IdleTimeout == 0 {
		o.IdleTimeout = time.Minute
	}
	if o.MostIdle == 0 {
		o.MostIdle = 100
	}
	o.MostHead, o.TLSTimeout = 1<<16, 10*time.Second
	r.Transport = New(o)
	t.Cleanup(r.Close)
	return r
}

// serve is a rig in front of a handler.
func serve(t *testing.T, o Options, h http.HandlerFunc) *rig {
	t.Helper()
	s := httptest.NewServer(h)
	r := newRig(t, s.URL, o)
	t.Cleanup(func() { r.Close(); s.CloseClientConnections(); s.Close() })
	return r
}

// raw is a rig in front of what a function does with each connection; it is called with the number of the connection.
func raw(t *testing.T, o Options, each func(n int, c net.Conn)) *rig {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	r := newRig(t, "http://"+l.Addr().String(), o)
	all.Go(func() {
		for n := 0; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { defer c.Close(); each(n, c) })
		}
	})
	t.Cleanup(func() { r.Close(); l.Close(); all.Wait() })
	return r
}

// answers reads a request and writes a text, as often as there are texts.
func answers(c net.Conn, texts ...string) {
	buf := make([]byte, 4096)
	for _, text := range texts {
		if _, err := c.Read(buf); err != nil {
			return
		}
		io.WriteString(c, text)
	}
}

func (r *rig) request(ctx context.Context, t *testing.T, method, body string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, method, r.url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("User-Agent", "test") // or it is not plain
	return req
}

// ask sends a request and reads the whole answer.
func (r *rig) ask(t *testing.T, body string) (*http.Response, string, error) {
	t.Helper()
	resp, err := r.RoundTrip(r.request(t.Context(), t, "POST", body))
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp, string(text), err
}

func (r *rig) mustAnswer(t *testing.T, body, want string) *http.Response {
	t.Helper()
	resp, text, err := r.ask(t, body)
	if err != nil || text != want {
		t.Fatalf("%q, %v; want %q", text, err, want)
	}
	return resp
}

func (r *rig) mustDial(t *testing.T, want int64) {
	t.Helper()
	if n := r.dials.Load(); n != want {
		t.Errorf("%d connections were made, not %d", n, want)
	}
}

const (
	yes     = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes"
	chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nye\r\n1\r\ns\r\n0\r\n\r\n"
)

func TestOneConnectionServesOneAfterAnother(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"of a known length": func(w http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			w.Header().Set("Content-Length", fmt.Sprint(len(b)))
			w.Write(b)
		},
		"in chunks": func(w http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			w.Write(b[:len(b)/2])
			w.(http.Flusher).Flush()
			w.Write(b[len(b)/2:])
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := serve(t, Options{}, h)
			for i := range 20 {
				body := strings.Repeat("x", i*1000)
				r.mustAnswer(t, body, body)
			}
			r.mustDial(t, 1)
		})
	}
}

func TestAnswersWithoutABody(t *testing.T) {
	r := serve(t, Options{}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "5")
		switch r.Method {
		case "DELETE":
			w.Header().Del("Content-Length")
			w.WriteHeader(http.StatusNoContent)
		case "POST":
			io.WriteString(w, "12345")
		}
	})
	for _, method := range []string{"HEAD", "DELETE", "HEAD", "POST"} {
		resp, err := r.RoundTrip(r.request(t.Context(), t, method, ""))
		if err != nil {
			t.Fatal(method, err)
		}
		if text, err := io.ReadAll(resp.Body); err != nil || len(text) > 0 != (method == "POST") {
			t.Errorf("%s: %q, %v", method, text, err)
		}
		resp.Body.Close()
	}
	r.mustDial(t, 1)
}

func TestInterimAnswersArePassedOver(t *testing.T) {
	r := raw(t, Options{}, func(_ int, c net.Conn) {
		answers(c, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"+yes, chunked)
	})
	r.mustAnswer(t, "", "yes")
	r.mustAnswer(t, "", "yes")
	r.mustDial(t, 1)
}

func TestWhatIsNoAnswer(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":          "",
		"a broken head":    "HTTP/1.1 200 OK\r\nContent-Le",
		"no HTTP":          "SSH-2.0-OpenSSH\r\n\r\n",
		"an upgrade":       "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
		"an endless head":  "HTTP/1.1 200 OK\r\n" + strings.Repeat("X-A: "+strings.Repeat("a", 1000)+"\r\n", 100) + "\r\n",
		"a head of hints":  strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 5000) + yes,
		"two lengths":      "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nyes!",
		"a negative one":   "HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\nyes",
		"a strange coding": "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nyes",
	} {
		t.Run(name, func(t *testing.T) {
			r := raw(t, Options{}, func(n int, c net.Conn) {
				if n > 0 {
					answers(c, yes)
					return
				}
				answers(c, text)
			})
			if _, text, err := r.ask(t, "hello"); err == nil {
				t.Errorf("it was taken as %q", text)
			}
			r.mustAnswer(t, "hello", "yes")
			r.mustDial(t, 2) // the second was not sent on the same connection, and the first was not tried again
		})
	}
}

func TestBodiesThatEndEarly(t *testing.T) {
	for name, text := range map[string]string{
		"of a known length": "HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\nyes",
		"within a chunk":    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n20\r\nyes",
		"between chunks":    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nyes\r\n",
		"no number":         "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nyes\r\nzz\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			r := raw(t, Options{}, func(_ int, c net.Conn) { answers(c, text) })
			if _, text, err := r.ask(t, ""); err == nil || text != "yes" {
				t.Errorf("%q, %v", text, err)
			}
			if len(r.idle) > 0 {
				t.Error("the connection was kept")
			}
		})
	}
}

// A connection is used again only when nothing can be on it but the next answer.
func TestConnectionsThatAreNotKept(t *testing.T) {
	for name, text := range map[string]string{
		"the upstream closes it":  "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\nyes",
		"an old upstream":         "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nyes",
		"no length":               "HTTP/1.1 200 OK\r\n\r\nyes",
		"more than was asked for": yes + yes,
		"more after chunks":       chunked + "HTTP/1.1 200 OK\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			r := raw(t, Options{}, func(_ int, c net.Conn) { answers(c, text) })
			for range 3 {
				r.mustAnswer(t, "", "yes")
			}
			r.mustDial(t, 3)
		})
	}
}

// The same over TLS, which may have read what came behind the answer.
func TestLeftoversOfTLS(t *testing.T) {
	s := httptest.NewUnstartedServer(nil)
	s.StartTLS()
	config, trusted := s.TLS.Clone(), s.Client().Transport.(*http.Transport).TLSClientConfig
	s.Close()
	config.NextProtos, config.DynamicRecordSizingDisabled = nil, true // answer and leftover go in one record
	for name, c := range map[string]struct {
		leftover string
		dials    int64
	}{"nothing": {"", 1}, "another answer": {yes, 3}} {
		t.Run(name, func(t *testing.T) {
			r := raw(t, Options{TLS: trusted}, func(_ int, plain net.Conn) {
				big := strings.Repeat("x", 12_000)
				text := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s%s", len(big), big, c.leftover)
				secure := tls.Server(plain, config)
				answers(secure, text, text, text)
				secure.Close()
			})
			r.url = strings.Replace(r.url, "http:", "https:", 1)
			for range 3 {
				resp, err := r.RoundTrip(r.request(t.Context(), t, "POST", ""))
				if err != nil {
					t.Fatal(err)
				}
				all := make([]byte, 0, 16_000) // in large reads, which go past the buffer of the connection
				for err == nil {
					var n int
					n, err = resp.Body.Read(all[len(all):cap(all)])
					all = all[:len(all)+n]
				}
				if err != io.EOF || string(all) != strings.Repeat("x", 12_000) {
					t.Errorf("%d bytes, %.10q, %v", len(all), all, err)
				}
			}
			r.mustDial(t, c.dials)
		})
	}
}

// A used connection that ends without a byte of an answer: what may be repeated is, and nothing else.
func TestTheOtherSideClosesWhileItIsAsked(t *testing.T) {
	for name, c := range map[string]struct {
		method, key string
		again       bool
	}{"GET": {"GET", "", true}, "POST": {"POST", "", false}, "POST with a key": {"POST", "k", true}} {
		t.Run(name, func(t *testing.T) {
			r := raw(t, Options{}, func(n int, c net.Conn) {
				answers(c, yes)
				if _, err := c.Read(make([]byte, 4096)); err == nil && n > 0 {
					io.WriteString(c, yes)
				}
			})
			r.mustAnswer(t, "", "yes")
			req := r.request(t.Context(), t, c.method, "hello")
			if c.key != "" {
				req.Header.Set("Idempotency-Key", c.key)
			}
			resp, err := r.RoundTrip(req)
			if err == nil {
				resp.Body.Close()
			}
			if (err == nil) != c.again {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestWhatCameWhileIdleEndsTheConnection(t *testing.T) {
	for name, late := range map[string]func(c net.Conn){
		"its end":           func(c net.Conn) { c.Close() },
		"unasked for bytes": func(c net.Conn) { io.WriteString(c, yes); time.Sleep(100 * time.Millisecond) },
	} {
		t.Run(name, func(t *testing.T) {
			done := make(chan struct{}, 1)
			r := raw(t, Options{}, func(n int, c net.Conn) {
				answers(c, yes)
				if n == 0 {
					late(c)
					done <- struct{}{}
					return
				}
				answers(c, yes)
			})
			r.mustAnswer(t, "", "yes")
			<-done
			r.mustAnswer(t, "", "yes")
			r.mustAnswer(t, "", "yes")
			r.mustDial(t, 2)
		})
	}
}

// breaking is a connection whose writes fail from some time on, before anything of them is taken.
type breaking struct {
	net.Conn
	broken *atomic.Bool
}

func (b breaking) Write(p []byte) (int, error) {
	if b.broken.Load() {
		return 0, errors.New("a made up failure")
	}
	return b.Conn.Write(p)
}

func TestARequestOfWhichNothingWasTakenIsSentAgain(t *testing.T) {
	r := serve(t, Options{}, func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })
	var broken atomic.Bool
	dial := r.opts.Dial
	r.opts.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		if r.dials.Load() == 1 {
			c = breaking{c, &broken}
		}
		return c, err
	}
	r.mustAnswer(t, "one", "one")
	broken.Store(true)
	r.mustAnswer(t, "two", "two")
	r.mustDial(t, 2)
}

// half is a connection that takes one write and then fails, as one does whose other side has hung up.
type half struct {
	net.Conn
	writes int
}

func (h *half) Write(p []byte) (int, error) {
	if h.writes++; h.writes > 1 {
		return 0, errors.New("a made up reset")
	}
	return h.Conn.Write(p)
}

// An upstream may refuse a request before it has all of it. Its answer is heard, and the connection is not used again.
func TestAnAnswerBeforeTheRequestWasSent(t *testing.T) {
	r := raw(t, Options{}, func(_ int, c net.Conn) { answers(c, strings.Replace(yes, "200 OK", "401 No", 1), yes) })
	dial := r.opts.Dial
	r.opts.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		return &half{Conn: c}, err
	}
	for range 2 {
		if resp := r.mustAnswer(t, strings.Repeat("x", 10_000), "yes"); resp.StatusCode != 401 {
			t.Error(resp.Status)
		}
	}
	r.mustDial(t, 2)
}

// unhurried has time for an answer to arrive after each write.
type unhurried struct{ *net.TCPConn }

func (u unhurried) Write(p []byte) (int, error) {
	n, err := u.TCPConn.Write(p)
	time.Sleep(10 * time.Millisecond)
	return n, err
}

// An answer that is there before its read begins is read all the same, although the socket says nothing more.
func TestAnAnswerBeforeItsRead(t *testing.T) {
	r := raw(t, Options{}, func(_ int, c net.Conn) {
		for from := bufio.NewReader(c); ; {
			req, err := http.ReadRequest(from)
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, yes)
			_, _ = io.Copy(io.Discard, req.Body)
		}
	})
	dial := r.opts.Dial
	r.opts.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return unhurried{c.(*net.TCPConn)}, nil
	}
	var head bytes.Buffer // with a body of four digits
	w := bufio.NewWriter(&head)
	if err := write(w, r.request(t.Context(), t, "POST", strings.Repeat("x", 5000))); err != nil || w.Flush() != nil {
		t.Fatal(err)
	}
	exact := 2*buffer - (head.Len() - 5000)
	for _, size := range []int{exact, exact, exact - 1, exact + 1, 9000, 5000, 10} { // the first on a new connection
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		resp, err := r.RoundTrip(r.request(ctx, t, "POST", strings.Repeat("x", size)))
		if err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		if text, err := io.ReadAll(resp.Body); string(text) != "yes" || err != nil {
			t.Errorf("%d bytes: %q, %v", size, text, err)
		}
		cancel()
	}
	r.mustDial(t, 1)
}

// What is dialed is what http.Transport dials, names of letters that DNS does not know included.
func TestWhatIsDialed(t *testing.T) {
	for _, url := range []string{"http://host/", "http://host:81/", "https://host/", "http://bücher.example/", "http://[::1]/", "http://[::1]:81/",
		"http://[fe80::1%25eth0]/", "http://HOST/", "http://host./"} {
		var dialed []string
		dial := func(_ context.Context, _, addr string) (net.Conn, error) {
			dialed = append(dialed, addr)
			return nil, errors.New("not here")
		}
		standard := &http.Transport{DialContext: dial}
		r := newRig(t, url, Options{})
		r.opts.Dial = dial
		for _, by := range []http.RoundTripper{standard, r} {
			if _, err := by.RoundTrip(r.request(t.Context(), t, "GET", "")); err == nil {
				t.Error(url)
			}
		}
		if len(dialed) != 2 || dialed[0] != dialed[1] {
			t.Errorf("%s: %q", url, dialed)
		}
	}
}

func TestNobodyListens(t *testing.T) {
	r := newRig(t, "http://127.0.0.1:1", Options{})
	if _, _, err := r.ask(t, ""); err == nil {
		t.Error("there was an answer")
	}
}

func TestTheContextEndsIt(t *testing.T) {
	why := errors.New("the caller has left")
	for name, text := range map[string]string{
		"before the head": "",
		"in the head":     "HTTP/1.1 200 OK\r\nContent",
		"in the body":     "HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\nyes",
	} {
		t.Run(name, func(t *testing.T) {
			gone := make(chan error, 1)
			ctx, cancel := context.WithCancelCause(t.Context())
			r := raw(t, Options{}, func(_ int, c net.Conn) {
				answers(c, text)
				if name != "in the body" {
					cancel(why)
				}
				_, err := c.Read(make([]byte, 1))
				gone <- err
			})
			resp, err := r.RoundTrip(r.request(ctx, t, "POST", "hello"))
			if name == "in the body" {
				if err != nil {
					t.Fatal(err)
				}
				io.ReadFull(resp.Body, make([]byte, 3))
				cancel(why)
				_, err = io.ReadAll(resp.Body)
				resp.Body.Close()
			} else if !errors.Is(err, why) {
				t.Errorf("%v", err)
			}
			if err == nil {
				t.Error("no error")
			}
			if err := <-gone; err == nil {
				t.Error("the upstream was not told")
			}
		})
	}
}

func TestClosingABodyEndsTheAnswer(t *testing.T) {
	gone := make(chan error, 1)
	r := raw(t, Options{}, func(_ int, c net.Conn) {
		answers(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nyes\r\n")
		_, err := c.Read(make([]byte, 1))
		gone <- err
	})
	resp, err := r.RoundTrip(r.request(t.Context(), t, "POST", ""))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if err := <-gone; err == nil {
		t.Error("the upstream was not told")
	}
	if _, err := resp.Body.Read(make([]byte, 1)); err == nil {
		t.Error("a closed body can be read")
	}
}

func TestIdleConnectionsEnd(t *testing.T) {
	r := serve(t, Options{IdleTimeout: 50 * time.Millisecond}, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "yes") })
	r.mustAnswer(t, "", "yes")
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		r.mu.Lock()
		left, swept := len(r.idle), r.sweep == nil
		r.mu.Unlock()
		if left == 0 && swept {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%d hosts still have some", left)
		}
	}
	r.mustAnswer(t, "", "yes")
	r.mustDial(t, 2)
}

func TestOnlySoManyAreKept(t *testing.T) {
	const most, at = 3, 10
	var wait sync.WaitGroup
	wait.Add(at)
	r := serve(t, Options{MostIdle: most}, func(w http.ResponseWriter, r *http.Request) { wait.Done(); wait.Wait(); io.WriteString(w, "yes") })
	var all sync.WaitGroup
	for range at {
		all.Go(func() { r.ask(t, "") })
	}
	all.Wait()
	for _, free := range r.idle {
		if len(free) != most {
			t.Errorf("%d are kept", len(free))
		}
	}
}

func TestTLS(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Proto) }))
	s.EnableHTTP2, s.Config.ErrorLog = true, log.New(io.Discard, "", 0) // it tells of every caller who does not trust it
	s.StartTLS()
	t.Cleanup(s.Close)
	trusted := s.Client().Transport.(*http.Transport).TLSClientConfig
	r := newRig(t, strings.Replace(s.URL, "127.0.0.1", "localhost", 1), Options{TLS: trusted})
	if _, _, err := r.ask(t, ""); err == nil {
		t.Error("a certificate for another name was accepted")
	}
	r.url = s.URL
	for range 3 {
		r.mustAnswer(t, "", "HTTP/1.1")
	}
	r.mustDial(t, 2)
	strict := newRig(t, s.URL, Options{TLS: &tls.Config{}})
	if _, _, err := strict.ask(t, ""); err == nil {
		t.Error("a certificate of nobody was accepted")
	}
	r.Close()
}

// Many callers at once, some of whom leave, get the answers to their own requests, and nobody another's.
func TestNobodyGetsAnothersAnswer(t *testing.T) {
	seed := rand.Uint64()
	t.Log("seed", seed)
	r := serve(t, Options{MostIdle: 8}, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		dice := rand.New(rand.NewPCG(seed, uint64(len(b))))
		if dice.IntN(2) == 0 {
			w.Header().Set("Content-Length", fmt.Sprint(len(b)))
		}
		if dice.IntN(10) == 0 {
			w.Header().Set("Connection", "close")
		}
		for len(b) > 0 {
			n := 1 + dice.IntN(len(b))
			w.Write(b[:n])
			w.(http.Flusher).Flush()
			b = b[n:]
		}
		if dice.IntN(20) == 0 {
			panic(http.ErrAbortHandler)
		}
	})
	var all sync.WaitGroup
	var whole atomic.Int64
	for caller := range uint64(16) {
		all.Go(func() {
			dice := rand.New(rand.NewPCG(seed, caller<<32))
			for i := range 100 {
				body := strings.Repeat(fmt.Sprintf("%d-%d ", caller, i), 1+dice.IntN(500))
				ctx, cancel := context.WithCancel(t.Context())
				if dice.IntN(5) == 0 {
					time.AfterFunc(time.Duration(dice.IntN(1000))*time.Microsecond, cancel)
				}
				resp, err := r.RoundTrip(r.request(ctx, t, "POST", body))
				if err == nil {
					text, err := io.ReadAll(resp.Body)
					if err == nil && string(text) != body || !bytes.HasPrefix([]byte(body), text) {
						t.Errorf("%.40q was answered with %.40q", body, text)
					}
					if err == nil {
						whole.Add(1)
					}
					resp.Body.Close()
				}
				cancel()
			}
		})
	}
	all.Wait()
	if whole.Load() < 800 {
		t.Errorf("only %d answers were whole", whole.Load())
	}
}

func TestBegunBodiesDoNotWait(t *testing.T) {
	const chunks, length = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"
	for _, c := range []struct {
		first, rest string
		want        bool
	}{
		{chunks, "3\r\nyes\r\n0\r\n\r\n", false},
		{chunks + "3\r", "\nyes\r\n0\r\n\r\n", false},
		{chunks + "3\r\n", "yes\r\n0\r\n\r\n", false},
		{chunks + "3\r\ny", "es\r\n0\r\n\r\n", true},
		{chunks + "3\r\nyes\r\n0\r\n\r\n", "", true},
		{length, "yes", false},
		{length + "y", "es", true},
	} {
		looked := make(chan struct{})
		r := raw(t, Options{}, func(_ int, conn net.Conn) {
			answers(conn, c.first)
			<-looked
			io.WriteString(conn, c.rest)
		})
		resp, err := r.RoundTrip(r.request(t.Context(), t, "POST", ""))
		if err != nil {
			t.Fatal(err)
		}
		if got := resp.Body.(*body).Begun(); got != c.want {
			t.Errorf("%q: %v", c.first, got)
		}
		if c.want {
			if n, err := resp.Body.Read(make([]byte, 1)); n != 1 {
				t.Errorf("%q: %d bytes, %v", c.first, n, err)
			}
		}
		close(looked)
		resp.Body.Close()
	}
}
