package http1

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// shelf is a Lender that knows how many of its buffers are out.
type shelf struct {
	size int
	out  atomic.Int64
}

func (s *shelf) Get() any {
	s.out.Add(1)
	p := make([]byte, s.size)
	return &p
}

func (s *shelf) Put(p any) {
	s.out.Add(-1)
	clear(*p.(*[]byte))
}

// readLending reads a body as those do who lend buffers.
func readLending(b *body, from *shelf) (text string, err error) {
	for err == nil {
		var buf *[]byte
		var n int
		buf, n, err = b.Next(from)
		text += string((*buf)[:n])
		from.Put(buf)
	}
	return text, err
}

// waysToSend are the forms in which an answer may bring the data, and whether it is whole.
func waysToSend(dice *rand.Rand, data string) map[string]bool {
	var chunks strings.Builder
	for rest := data; rest != ""; {
		n := 1 + dice.IntN(min(len(rest), 5000))
		fmt.Fprintf(&chunks, "%x\r\n%s\r\n", n, rest[:n])
		rest = rest[n:]
	}
	inChunks := "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks.String()
	return map[string]bool{
		inChunks + "0\r\nA: b\r\n\r\n":   true,
		inChunks:                         false,
		"HTTP/1.1 200 OK\r\n\r\n" + data: true,
		fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(data), data):   true,
		fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(data)+1, data): false,
	}
}

// eachWay runs a test over TCP and over TLS, in front of what a function does with each connection.
func eachWay(t *testing.T, each func(c net.Conn), test func(t *testing.T, r *rig)) {
	t.Run("TCP", func(t *testing.T) { test(t, raw(t, Options{}, func(_ int, c net.Conn) { each(c) })) })
	t.Run("TLS", func(t *testing.T) {
		s := httptest.NewUnstartedServer(nil)
		s.StartTLS()
		config, trusted := s.TLS.Clone(), s.Client().Transport.(*http.Transport).TLSClientConfig
		s.Close()
		config.NextProtos = nil
		r := raw(t, Options{TLS: trusted}, func(_ int, plain net.Conn) {
			secure := tls.Server(plain, config)
			each(secure)
			secure.Close()
		})
		r.url = strings.Replace(r.url, "http:", "https:", 1)
		test(t, r)
	})
}

// In whatever form and in whatever pieces it comes, and whatever the size of the buffers, the bytes are those that were sent.
func TestNextBringsWhatWasSent(t *testing.T) {
	seed := rand.Uint64()
	t.Log("seed", seed)
	dice := rand.New(rand.NewPCG(seed, 1))
	var mu sync.Mutex // guards answer and dice
	var answer string
	eachWay(t, func(c net.Conn) {
		for {
			if _, err := c.Read(make([]byte, 4096)); err != nil {
				return
			}
			mu.Lock()
			pieces, goesOn := []string{}, strings.Contains(answer, "0\r\nA: b")
			for rest := answer; rest != ""; {
				n := min(len(rest), 1+dice.IntN(1<<dice.IntN(17)))
				pieces, rest = append(pieces, rest[:n]), rest[n:]
			}
			mu.Unlock()
			for _, piece := range pieces {
				if _, err := io.WriteString(c, piece); err != nil {
					return
				}
			}
			if !goesOn {
				return
			}
		}
	}, func(t *testing.T, r *rig) {
		for range 20 {
			mu.Lock()
			data := strings.Repeat("some event\n", 1+dice.IntN(5000))
			ways, size := waysToSend(dice, data), 3+dice.IntN(1<<dice.IntN(16))
			mu.Unlock()
			for text, whole := range ways {
				mu.Lock()
				answer = text
				mu.Unlock()
				resp, err := r.RoundTrip(r.request(t.Context(), t, "GET", ""))
				if err != nil {
					t.Fatal(err)
				}
				from := &shelf{size: size}
				got, err := readLending(resp.Body.(*body), from)
				if got != data || (err == io.EOF) != whole || from.out.Load() != 0 {
					t.Errorf("%.70q, buffers of %d: %d bytes of %d, %v", text, size, len(got), len(data), err)
				}
				resp.Body.Close()
			}
		}
	})
}

// A stream has a buffer while there is something to be read, and none while it waits.
func TestNoBufferWhileItWaits(t *testing.T) {
	more := make(chan string)
	eachWay(t, func(c net.Conn) {
		c.Read(make([]byte, 4096))
		for piece := range more {
			if piece == "" {
				return
			}
			io.WriteString(c, piece)
		}
	}, func(t *testing.T, r *rig) {
		go func() { more <- "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" }()
		resp, err := r.RoundTrip(r.request(t.Context(), t, "GET", ""))
		if err != nil {
			t.Fatal(err)
		}
		from := &shelf{size: 100}
		for _, piece := range []string{"3\r\none\r\n", "3\r\ntwo", "\r\n5\r\nthree\r\n"} {
			came := make(chan string)
			go func() {
				buf, n, _ := resp.Body.(*body).Next(from)
				came <- string((*buf)[:n])
				from.Put(buf)
			}()
			time.Sleep(20 * time.Millisecond) // so that it waits
			if n := from.out.Load(); n != 0 {
				t.Errorf("%d buffers are out before %q comes", n, piece)
			}
			more <- piece
			if got := <-came; got == "" || !strings.Contains(piece, got) {
				t.Errorf("%q brought %q", piece, got)
			}
		}
		more <- ""
		resp.Body.Close()
	})
}

// Whenever a caller leaves, each buffer is given back, none twice, and what came until then is what was sent.
func TestLeavingGivesTheBuffersBack(t *testing.T) {
	seed := rand.Uint64()
	t.Log("seed", seed)
	var leaving sync.WaitGroup
	defer leaving.Wait()
	eachWay(t, func(c net.Conn) {
		c.Read(make([]byte, 4096))
		io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		for err := error(nil); err == nil; time.Sleep(20 * time.Microsecond) {
			_, err = io.WriteString(c, "5\r\nevent\r\n")
		}
	}, func(t *testing.T, r *rig) {
		for n := range 100 {
			dice := rand.New(rand.NewPCG(seed, uint64(n)))
			ctx, cancel := context.WithCancel(t.Context())
			resp, err := r.RoundTrip(r.request(ctx, t, "GET", ""))
			if err != nil {
				t.Fatal(err)
			}
			leaving.Go(func() { time.Sleep(time.Duration(dice.IntN(2000)) * time.Microsecond); cancel() })
			from := &shelf{size: 8}
			got, err := readLending(resp.Body.(*body), from)
			resp.Body.Close()
			if want := strings.Repeat("event", len(got)/5+1); err == nil || err == io.EOF || from.out.Load() != 0 || !strings.HasPrefix(want, got) {
				t.Errorf("%.20q, %v, %d buffers are out", got, err, from.out.Load())
			}
		}
		if n := r.Idle(); n > 0 {
			t.Errorf("%d connections were kept", n)
		}
	})
}
