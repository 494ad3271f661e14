package app

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync"
	"time"

	"openai-api-proxy/pkg/config"
	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/upstream"
)

// Online asks the upstream about every enabled key and writes a line for each: how far the connection came (name, address,
// TLS) and what the upstream said. It returns how many keys are not accepted.
func Online(ctx context.Context, cfg *config.Config, w io.Writer) (bad int) {
	up := upstream.New(upstream.Options{IdleTimeout: 30 * time.Second,
		WriteTimeout: writeTimeout, Proxy: http.ProxyFromEnvironment, OnlyHTTP1: cfg.UpstreamHTTP == "1.1"})
	defer up.Close()
	for _, k := range cfg.Keys {
		if !k.Enabled {
			fmt.Fprintf(w, "%s\t%s\tdisabled, not asked\n", k.ID, k.Endpoint)
			continue
		}
		start, reached := time.Now(), new(steps)
		v := up.Confirm(httptrace.WithClientTrace(ctx, reached.trace()), k)
		took := time.Since(start).Round(time.Millisecond)
		if v.Outcome == proxy.Served {
			fmt.Fprintf(w, "%s\t%s\tok\t%s%d in %s\n", k.ID, k.Endpoint, reached, v.Status, took)
			continue
		}
		bad++
		fmt.Fprintf(w, "%s\t%s\tFAILED\t%s%s in %s\n", k.ID, k.Endpoint, reached, said(v), took)
	}
	return bad
}

// said is what went wrong, in the upstream's words or the network's.
func said(v proxy.Verdict) string {
	if v.Err != nil {
		return fmt.Sprintf("%s: %v", v.Outcome, v.Err)
	}
	return fmt.Sprintf("%d %s", v.Status, v.Code)
}

// steps remembers how far a connection came.
type steps struct {
	mu   sync.Mutex // guards text: the transport calls its hooks from several goroutines
	text string
}

func (s *steps) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text
}

func (s *steps) add(step string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text += step + ", "
}

func (s *steps) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		DNSDone: func(i httptrace.DNSDoneInfo) {
			if i.Err == nil {
				s.add("name resolved")
			}
		},
		TLSHandshakeDone: func(_ tls.ConnectionState, err error) {
			if err == nil {
				s.add("TLS ok")
			}
		},
		GotConn: func(i httptrace.GotConnInfo) { s.add("connected to " + i.Conn.RemoteAddr().String()) },
	}
}
