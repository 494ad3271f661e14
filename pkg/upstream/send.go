package upstream

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"

	"openai-api-proxy/pkg/http1"
	"openai-api-proxy/pkg/proxy"
)

var errStatus = errors.New("the answer has a status that is none")

// send sends the request and waits for the head of the answer.
func (c *Client) send(req *http.Request, a *Answer, direct bool) (*http.Response, error) {
	if direct {
		resp, err := c.direct.RoundTrip(req)
		a.connected = err == nil || !errors.As(err, new(*http1.NotConnected))
		return resp, err
	}
	// The transport tries again by itself when a pooled connection turns out to be dead: only the last counts, unless the first may
	// have carried a request that changes something. Of those it repeats the ones with a key for that.
	keyed := req.Header["Idempotency-Key"] != nil || req.Header["X-Idempotency-Key"] != nil
	trace := &httptrace.ClientTrace{GetConn: func(string) { a.connected = a.connected && keyed }, GotConn: func(httptrace.GotConnInfo) { a.connected = true }}
	if !a.body.Replayable() {
		// A body that still comes from the caller may take as long as the caller does; the wait begins when it was sent. An
		// upstream that never reads one that is held must not hold us.
		trace.WroteRequest = func(httptrace.WroteRequestInfo) { a.quiet.sent() }
	}
	resp, err := c.transport.RoundTrip(req.WithContext(httptrace.WithClientTrace(req.Context(), trace)))
	if err == nil && resp.StatusCode < 100 {
		resp.Body.Close()
		return nil, errStatus
	}
	return resp, err
}

// isDirect reports whether a request goes without the two goroutines that the standard transport has for each connection: small
// ones by HTTP/1.1 do.
func (c *Client) isDirect(req *http.Request, body *proxy.Body) bool {
	if (req.URL.Scheme != "http" && !c.opts.OnlyHTTP1) || req.Header["Upgrade"] != nil || !body.Replayable() || len(body.Held) > directBody {
		return false
	}
	if c.opts.Proxy == nil {
		return true
	}
	by, err := c.opts.Proxy(req)
	return by == nil && err == nil // an error is what the standard transport fails with, too
}

// outgoing makes the request that the upstream sees, under the context of the attempt.
func (c *Client) outgoing(ctx context.Context, key *proxy.Key, call *proxy.Call, a *Answer) (req *http.Request, direct bool, err error) {
	target, err := c.target(key.Endpoint, call)
	if err != nil {
		return nil, false, err
	}
	a.attempt.Context = ctx
	req = c.blank.WithContext(&a.attempt)
	req.Method, req.URL, req.Header = call.Op.Method, target, forwardHeader(call.Header, key)
	if call.Op.Socket {
		askUpgrade(req.Header, call.Header)
	}
	if a.body.Length != 0 {
		req.ContentLength = a.body.Length
		req.Body, req.GetBody = a.body.open()
	}
	if c.isDirect(req, &a.body.Body) {
		return req, true, nil
	}
	a.ctx, a.cease = context.WithCancelCause(ctx)
	return req.WithContext(a.ctx), false, nil
}

// place is an endpoint with the path of an operation.
type place struct{ endpoint, path string }

// target is where a call goes to at an endpoint. Endpoints are few, and so are paths without a part to be filled in: what they
// come to is worked out once.
func (c *Client) target(endpoint string, call *proxy.Call) (*url.URL, error) {
	known := call.Query == "" && call.Path == call.Op.Path
	if known {
		if u, found := c.targets.Load(place{endpoint, call.Path}); found {
			return u.(*url.URL), nil
		}
	}
	u, err := c.targetOf(endpoint, call.Path)
	if err != nil {
		return nil, err
	}
	u.RawQuery = call.Query
	if known {
		c.targets.Store(place{endpoint, call.Path}, &u)
	}
	return &u, nil
}

// targetOf is where a path, escaped as it came, lies at an endpoint. Endpoints are few and are parsed once.
func (c *Client) targetOf(endpoint, path string) (url.URL, error) {
	base, known := c.endpoints.Load(endpoint)
	if !known {
		u, err := url.Parse(endpoint)
		if err != nil {
			return url.URL{}, err
		}
		base, _ = c.endpoints.LoadOrStore(endpoint, u)
	}
	u := *base.(*url.URL)
	if strings.Contains(path, "%") || u.RawPath != "" {
		whole, err := url.Parse(endpoint + path)
		if err != nil {
			return u, err
		}
		return *whole, nil
	}
	u.Path += path
	u.RawPath = u.Path // as it came: what need not be escaped and was not is left so
	return u, nil
}
