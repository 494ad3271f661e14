package cli

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"openai-api-proxy/pkg/mockopenai"
)

// chatPath is the one operation that the doctor uses.
const chatPath = "/v1/chat/completions"

// stage is the mock upstream of a checkup. It lets through what the proxy asks for and nothing else: the controls of the
// mock are for this process.
type stage struct {
	mock    *mockopenai.Server
	server  *http.Server
	address string // that the proxy uses
	prefix  string // of its keys
	served  chan struct{}

	mu      sync.Mutex // guards the rest
	hits    map[string][]hit
	streams [][]byte // what the streams were, as they were sent
}

// hit is one chat completion that reached the mock.
type hit struct{ began, ended time.Time }

// raise begins to serve a mock where a proxy on the host can reach it.
func raise(host, listen, advertise string) (*stage, error) {
	mine := "127.0.0.1"
	if !local(host) {
		mine = towards(host)
	}
	l, err := net.Listen("tcp", cmp.Or(listen, net.JoinHostPort(mine, "0")))
	if err != nil {
		return nil, fmt.Errorf("the mock cannot listen: %w", err)
	}
	bound, port, _ := net.SplitHostPort(l.Addr().String())
	if ip := net.ParseIP(bound); ip != nil && !ip.IsUnspecified() {
		mine = bound
	}
	address := cmp.Or(strings.TrimRight(advertise, "/"), "http://"+net.JoinHostPort(mine, port))
	if u, err := url.Parse(address); err != nil || u.Host == "" {
		l.Close()
		return nil, misused("--advertise must be like http://10.0.0.7:9100")
	}
	prefix := "sk-test-doctor-" + random(8) + "-"
	set := mockopenai.Settings{ContentBytes: 40, Chunks: 20, ChunkDelayMS: 5}
	s := &stage{mock: mockopenai.New(mockopenai.WithKeyPrefix(prefix), mockopenai.WithSettings(set)), address: address, prefix: prefix,
		served: make(chan struct{}), hits: map[string][]hit{}}
	s.server = &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		defer close(s.served)
		_ = s.server.Serve(l) // until close
	}()
	return s, nil
}

// towards is the address that this machine uses towards a host.
func towards(host string) string {
	conn, err := net.Dial("udp", net.JoinHostPort(host, "9")) // sends nothing
	if err != nil {
		return "127.0.0.1"
	}
	defer conn.Close()
	ip, _, _ := net.SplitHostPort(conn.LocalAddr().String())
	return ip
}

func random(bytes int) string {
	some := make([]byte, bytes)
	rand.Read(some)
	return hex.EncodeToString(some)
}

func (s *stage) close() {
	s.mock.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if s.server.Shutdown(ctx) != nil {
		s.server.Close()
	}
	<-s.served
}

// ServeHTTP has the mock answer, and remembers when.
func (s *stage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !strings.HasPrefix(r.URL.Path, "/v1/") {
		http.NotFound(w, r)
		return
	}
	if r.URL.Path != chatPath {
		s.mock.ServeHTTP(w, r)
		return
	}
	key := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	seen := &recorder{ResponseWriter: w}
	began := time.Now()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.hits[key] = append(s.hits[key], hit{began, time.Now()})
		if seen.kept.Len() > 0 {
			s.streams = append(s.streams, seen.kept.Bytes())
		}
	}()
	s.mock.ServeHTTP(seen, r)
}

// of are the chat completions that a key was used for.
func (s *stage) of(key string) []hit {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]hit(nil), s.hits[key]...)
}

// stream is what the n-th stream was; nil: there were not so many.
func (s *stage) stream(n int) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n >= len(s.streams) {
		return nil
	}
	return s.streams[n]
}

// recorder keeps what is sent as a stream.
type recorder struct {
	http.ResponseWriter
	kept bytes.Buffer
}

// Unwrap is for http.ResponseController.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func (r *recorder) Write(p []byte) (int, error) {
	if strings.HasPrefix(r.Header().Get("Content-Type"), "text/event-stream") {
		r.kept.Write(p)
	}
	return r.ResponseWriter.Write(p)
}
