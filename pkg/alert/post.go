package alert

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"

	"openai-api-proxy/pkg/proxy"
)

const (
	// callWithin bounds one call of the webhook, with all that its answer takes.
	callWithin = 5 * time.Second
	// mostHeard is how much of an answer is read, so that its connection can be used again.
	mostHeard = 4 << 10
	// mostLines bounds the alerts that are in the text of a call.
	mostLines = 10
)

// body is what the webhook gets.
type body struct {
	Text   string  `json:"text"` // of the first alerts, a line each, for chats that show only this
	Alerts []Alert `json:"alerts"`
}

// post calls a webhook. The URL is a secret: it is in no error.
type post struct{ client http.Client }

// newPost follows no redirect, which could lead a body with the names of clients anywhere, and calls no address that cannot be that
// of a webhook: link-local ones are where clouds keep their credentials. Loopback is fine, and is a container's neighbour.
func newPost() *post {
	dialer := &net.Dialer{Timeout: callWithin, Control: func(_, address string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		if a := at.Addr().Unmap(); a.IsLinkLocalUnicast() || a.IsMulticast() || a.IsUnspecified() {
			return errors.New("a webhook is not called at a link-local, multicast or unspecified address")
		}
		return nil
	}}
	return &post{http.Client{Timeout: callWithin,
		Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, DialContext: dialer.DialContext, ForceAttemptHTTP2: true,
			TLSHandshakeTimeout: callWithin, MaxResponseHeaderBytes: 64 << 10, IdleConnTimeout: time.Minute, MaxIdleConnsPerHost: 1},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

func (p *post) close() { p.client.CloseIdleConnections() }

// refusal is an answer that is not a success.
type refusal int

func (r refusal) Error() string {
	if r >= 300 && r < 400 {
		return fmt.Sprintf("it answers %d, and redirects are not followed", int(r))
	}
	return fmt.Sprintf("it answers %d", int(r))
}

// final reports whether another try would be answered alike.
func (r refusal) final() bool {
	return r < 500 && r != http.StatusRequestTimeout && r != http.StatusTooEarly && r != http.StatusTooManyRequests
}

// call makes one call.
func (p *post) call(ctx context.Context, webhook proxy.Secret, all []Alert) error {
	if webhook.IsZero() {
		return ErrNoWebhook
	}
	text, err := json.Marshal(body{lines(all), all})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, webhook.Reveal(), bytes.NewReader(text))
	if err != nil {
		return errors.New("the URL of the webhook cannot be used")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "openai-api-proxy")
	resp, err := p.client.Do(req)
	if err != nil {
		return plain(err)
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, mostHeard) // what it says besides does not matter
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return refusal(resp.StatusCode)
	}
	return nil
}

// plain is an error without the URL, which the library puts in front.
func plain(err error) error {
	var of *url.Error
	if errors.As(err, &of) {
		return of.Err
	}
	return err
}

func lines(all []Alert) string {
	var b strings.Builder
	for i, a := range all {
		if i == mostLines {
			fmt.Fprintf(&b, "\nand %d more", len(all)-i)
			break
		}
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(a.Text)
	}
	return b.String()
}
