package upstream

import (
	"errors"
	"io"
	"net/http"
	"strings"

	"openai-api-proxy/pkg/openai"
	"openai-api-proxy/pkg/proxy"
)

var errNoUpgrade = errors.New("the upstream switched to what nobody asked for")

// askUpgrade asks for a WebSocket. The key and what is answered to it pass as they are, so that the caller checks the upstream
// itself. Extensions are not offered: permessage-deflate would hide from us what the events say of tokens. Nor are the
// subprotocols that hold a token: the key is in Authorization.
func askUpgrade(to, from http.Header) {
	to.Set("Connection", "Upgrade") // also what keeps the transport off HTTP/2
	to.Set("Upgrade", "websocket")
	for _, name := range []string{"Sec-Websocket-Key", "Sec-Websocket-Version"} {
		if values := from[name]; values != nil {
			to[name] = values
		}
	}
	if _, rest := openai.Subprotocols(from); len(rest) > 0 {
		to.Set("Sec-Websocket-Protocol", strings.Join(rest, ", "))
	}
}

// switched takes over an answer of 101. One that nobody asked for is a failure: what follows it is no HTTP.
func (a *Answer) switched(call *proxy.Call) {
	socket, open := a.resp.Body.(io.ReadWriteCloser)
	if !call.Op.Socket || !open || !strings.EqualFold(a.resp.Header.Get("Upgrade"), "websocket") {
		a.resp.Body.Close()
		a.Verdict = proxy.Verdict{Outcome: proxy.KeyFailed, Status: a.resp.StatusCode, Err: errNoUpgrade}
		a.resp = nil
		return
	}
	a.socket = socket
	a.Verdict = judge(a.resp.StatusCode, a.resp.Header, nil)
}
