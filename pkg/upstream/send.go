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

// send sends the request and waits for the head of the answer. Small ones by HTTP/1.1 go without the two goroutines that the
// standard transport has for each connection.
func (c *Client) send(req *http.Request, a *Answer) (*http.Response, error) {
	direct, err := c.isDirect(req, &a.body.Body)
	switch {
	case err != nil:
		return nil, err
	case direct:
		resp, err := c.direct.RoundTrip(req)
		a.connected = !errors.As(err, new(*http1.NotConnected))
		return resp, err
	}
	// The transport tries again by itself when a pooled connection turns out to be dead: only the last counts.
	trace := &httptrace.ClientTrace{GetConn: func(string) { a.connected = false }, GotConn: func(httptrace.GotConnInfo) { a.connected = true }}
	if !a.body.Replayable() {
		// A body that still comes from the caller may take as long as the caller does; the wait begins when it was sent. An
		// upstream that never reads one that is held must not hold us.
		trace.WroteRequest = func(httptrace.WroteRequestInfo) { a.quiet.sent() }
	}
	return c.transport.RoundTrip(req.WithContext(httptrace.WithClientTrace(req.Context(), trace)))
}

func (c *Client) isDirect(req *http.Request, body *proxy.Body) (bool, error) {
	if (req.URL.Scheme != "http" && !c.opts.OnlyHTTP1) || req.Header["Upgrade"] != nil || !body.Replayable() || len(body.Held) > directBody {
		return false, nil
	}
	if c.opts.Proxy == nil {
		return true, nil
	}
	by, err := c.opts.Proxy(req)
	return by == nil, err
}

// outgoing makes the request that the upstream sees.
func (c *Client) outgoing(ctx context.Context, key *proxy.Key, call *proxy.Call, body *source) (*http.Request, error) {
	target, err := c.target(key.Endpoint, call.Path)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, call.Op.Method, "", nil)
	if err != nil {
		return nil, err
	}
	target.RawQuery = call.Query
	req.URL = &target
	req.Header = forwardHeader(call.Header, key)
	if call.Op.Socket {
		askUpgrade(req.Header, call.Header)
	}
	if body.Length != 0 {
		req.ContentLength = body.Length
		req.Body, req.GetBody = body.open()
	}
	return req, nil
}

// target is where a path, escaped as it came, lies at an endpoint. Endpoints are few and are parsed once.
func (c *Client) target(endpoint, path string) (url.URL, error) {
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
