package auth

import (
	"context"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"openai-api-proxy/pkg/proxy"
)

// cause says what is wrong with a credential. It is a metric label and a fault's inner error, never seen by the caller.
type cause string

const (
	none     cause = ""
	missing  cause = "missing" // no Authorization, another scheme, or nothing after it
	doubled  cause = "doubled" // two Authorization values: which one counts is anybody's guess
	unknown  cause = "unknown"
	disabled cause = "disabled"
	expired  cause = "expired"
	outside  cause = "ip" // a good token from an address where it does not count
)

func (c cause) Error() string { return "credential refused: " + string(c) }

// refused is all that a caller learns of a bad token, whatever the cause.
const refused = "invalid API key; send a valid token as \"Authorization: Bearer <token>\""

// bearer returns the token of the one Authorization header, or what is wrong with it. Tokens are read from nowhere
// else: a query ends up in logs.
func bearer(h http.Header) (token string, _ cause) {
	values := h.Values("Authorization")
	if len(values) > 1 {
		return "", doubled
	}
	if len(values) == 0 {
		return "", missing
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	token = strings.TrimSpace(token)
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return "", missing
	}
	return token, none
}

// refuse counts the failure and makes the fault for it. Only what may be a guess at a token counts against the address.
func (g *Gate) refuse(ctx context.Context, addr netip.Addr, why cause) *proxy.Fault {
	g.metrics.failures.WithLabelValues(string(why)).Inc()
	g.log.DebugContext(ctx, "credential refused", "cause", string(why), "address", addr.String())
	switch why {
	case doubled:
		return &proxy.Fault{Kind: proxy.InvalidRequest, Public: "more than one Authorization header", Err: why}
	case outside:
		return &proxy.Fault{Kind: proxy.IPNotAllowed, Public: "this API key may not be used from this address", Err: why}
	}
	if wait := g.failures.count(ctx, addr); wait > 0 {
		f := proxy.Faultf(proxy.RateLimited, "too many failed authentications; try again in %s", wait.Round(time.Second))
		f.RetryAfter, f.Err = wait, why
		return f
	}
	return &proxy.Fault{Kind: proxy.InvalidAPIKey, Public: refused, Err: why}
}
