// Package upstream makes one attempt with one key: it rewrites the request, waits for the headers, says by type who was at
// fault, and streams the answer through while it reads the usage beside it. It never tries twice and never chooses a key.
package upstream

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"openai-api-proxy/pkg/http1"
	"openai-api-proxy/pkg/openai"
	"openai-api-proxy/pkg/proxy"
)

// Options are the settings of a Client.
type Options struct {
	// IdleTimeout bounds the silence inside an answer.
	IdleTimeout time.Duration
	// WriteTimeout bounds one write to the caller, so that a stalled reader does not hold an upstream answer open.
	WriteTimeout time.Duration
	// Mask hides live secrets in the bodies of failures.
	Mask func([]byte) []byte
	// Proxy chooses an HTTP proxy for a request, as http.ProxyFromEnvironment does; nil for none.
	Proxy func(*http.Request) (*url.URL, error)
	// OnlyHTTP1 does without HTTP/2, which costs more and takes fewer connections. By plain HTTP it is never spoken.
	OnlyHTTP1 bool
}

// Client holds the connections to all upstreams.
type Client struct {
	opts      Options
	transport *http.Transport
	direct    *http1.Transport // for small requests by HTTP/1.1
	buffers   sync.Pool        // of *[]byte, for documents
	small     sync.Pool        // the same, for streams and sessions
	taps      sync.Pool        // of *openai.Tap
	endpoints sync.Map         // *url.URL by Endpoint
	targets   sync.Map         // *url.URL by endpoint and the path of an operation that has no part to be filled in
	vigil     vigil
	blank     http.Request // what all have in common
	held      atomic.Int64 // bytes of messages that sessions hold until they were looked at
}

const (
	dialTimeout = 10 * time.Second
	tlsTimeout  = 10 * time.Second
	// idleConnections per upstream host: the stock 2 would make every burst dial again.
	idleConnections = 1024
	idleTimeout     = 90 * time.Second
	// answerHead bounds the head of an answer, in bytes.
	answerHead = 1 << 20
	// directBody is the longest body that is sent before the answer is looked for, in bytes: it fits into the buffers of any
	// socket, so that an upstream which answers without reading it cannot hold us.
	directBody = 16 << 10
	copyBuffer = 16 << 10
	// streamBuffer is about what the transport reads at once: a stream may be open for minutes, with thousands beside it. With
	// the frame of a chunk around it, it must fit the server's 4 KiB: what does not is written twice.
	streamBuffer = 4<<10 - 16
)

// New makes a Client. Close it to give the idle connections back.
func New(o Options) *Client {
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(!o.OnlyHTTP1)
	c := &Client{opts: o, transport: &http.Transport{
		Proxy:                 o.Proxy,
		DialContext:           dialer.DialContext,
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:   tlsTimeout,
		MaxIdleConnsPerHost:   idleConnections,
		IdleConnTimeout:       idleTimeout,
		ExpectContinueTimeout: time.Second,
		// The caller's bytes are the upstream's bytes: nothing is decompressed on the way.
		DisableCompression: true,
		Protocols:          protocols,
		// A half-dead HTTP/2 connection would take many streams with it; ping finds it.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 20 * time.Second, PingTimeout: 15 * time.Second},
	}}
	c.direct = http1.New(http1.Options{Dial: dialer.DialContext, TLS: c.transport.TLSClientConfig, TLSTimeout: tlsTimeout,
		IdleTimeout: idleTimeout, MostIdle: idleConnections, MostHead: answerHead})
	c.buffers.New = func() any { b := make([]byte, copyBuffer); return &b }
	c.blank = http.Request{Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}
	c.small.New = func() any { b := make([]byte, streamBuffer); return &b }
	c.taps.New = func() any { return new(openai.Tap) }
	return c
}

// Close gives up the idle connections.
func (c *Client) Close() error {
	c.transport.CloseIdleConnections()
	c.direct.Close()
	return nil
}

// Do sends the call with the key and waits for the headers of the answer, for at most as long as patience says: reasoning
// models think for minutes before the first header of an answer that is not streamed. The answer is never nil; what became
// of the attempt is its Verdict. Close it.
func (c *Client) Do(ctx context.Context, key *proxy.Key, call *proxy.Call, patience time.Duration) *Answer {
	a := &Answer{client: c, body: source{Body: call.Body}}
	req, direct, err := c.outgoing(ctx, key, call, a)
	if err != nil {
		a.Verdict = proxy.Verdict{Outcome: proxy.CallerFault, Err: err}
		return a
	}
	a.quiet.begin(a, &c.vigil, patience, c.opts.IdleTimeout)
	if a.body.Replayable() {
		a.quiet.wait()
	}
	resp, err := c.send(req, a, direct)
	a.quiet.answered()
	if err == nil && a.cause() == errSilent { // the headers came when the wait was over: nothing can be read of the rest
		resp.Body.Close()
		err = errSilent
	}
	if err != nil {
		a.Verdict = failed(a.cause(), err, a.connected)
		if lost := a.body.failure(); lost != nil {
			// The caller's body broke off: no key is to blame for that.
			a.Verdict = proxy.Verdict{Outcome: proxy.CallerGone, Err: lost}
		}
		return a
	}
	a.resp = resp
	if resp.StatusCode == http.StatusSwitchingProtocols {
		a.switched(call)
		return a
	}
	if resp.StatusCode >= 400 {
		a.hold()
	}
	a.Verdict = judge(resp.StatusCode, resp.Header, a.held)
	return a
}

// Confirm asks the upstream whether it accepts the key, with a request that costs nothing.
func (c *Client) Confirm(ctx context.Context, key *proxy.Key) proxy.Verdict {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout+tlsTimeout)
	defer cancel()
	a := c.Do(ctx, key, &proxy.Call{Op: listModels, Path: listModels.Path, Header: http.Header{}}, dialTimeout+tlsTimeout)
	defer a.Close()
	return a.Verdict
}

// failed says what an attempt without an answer was, which was ended for a cause, or by itself.
func failed(cause, err error, connected bool) proxy.Verdict {
	v := proxy.Verdict{Err: err}
	switch {
	case errors.Is(cause, errSilent):
		v.Outcome, v.Err = proxy.NoAnswer, errSilent
	case cause != nil:
		v.Outcome = proxy.CallerGone
	case !connected:
		v.Outcome = proxy.Unreachable
	default:
		v.Outcome = proxy.NoAnswer
	}
	return v
}

// TimedOut reports whether an attempt failed because somebody did not answer in time.
func TimedOut(err error) bool {
	var ne net.Error
	return errors.Is(err, errIdle) || errors.Is(err, errSilent) || errors.As(err, &ne) && ne.Timeout()
}

// source is a request body on its way to the upstream.
type source struct {
	proxy.Body
	lost  atomic.Pointer[error] // why the rest of it could not be read
	first inMemory              // all of it, for the first try of the transport
}

// failure is why the caller's body could not be read to its end; nil when it could, or was not wanted.
func (s *source) failure() error {
	if err := s.lost.Load(); err != nil {
		return *err
	}
	return nil
}

// Read reads what is not held. The transport reads in a goroutine of its own.
func (s *source) Read(p []byte) (int, error) {
	n, err := s.Rest.Read(p)
	if err != nil && err != io.EOF {
		s.lost.Store(&err)
	}
	return n, err
}

// open gives the transport a body that it can take up again when a pooled connection was dead. Held bytes are an
// in-memory reader for a reason: with any other body the transport sends the head by itself, one packet more, and the
// server's end of the caller's connection may close the body while the transport still reads it, which kills streams.
func (s *source) open() (io.ReadCloser, func() (io.ReadCloser, error)) {
	if s.Replayable() {
		s.first.Reset(s.Held)
		return &s.first, s.again
	}
	return io.NopCloser(io.MultiReader(bytes.NewReader(s.Held), s)), nil
}

func (s *source) again() (io.ReadCloser, error) {
	body := new(inMemory)
	body.Reset(s.Held)
	return body, nil
}

// inMemory is a body that is held.
type inMemory struct{ bytes.Reader }

func (b *inMemory) Close() error { return nil }
