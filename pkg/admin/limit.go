package admin

import (
	"net/netip"
	"time"

	"github.com/gin-gonic/gin"

	"openai-api-proxy/pkg/proxy"
)

// defaultRate is how many requests an address may make in a minute.
const defaultRate = 600

// limit keeps a script that has run wild from busying the proxy. It comes after the token is found valid: failed ones are
// limited already, and far more strictly. A limiter that cannot tell lets pass.
func (a *API) limit(c *gin.Context) {
	held, err := a.Limiter.Get(c.Request.Context(), a.window(a.ClientAddr(c.Request)), a.Rate)
	if err != nil {
		a.metrics.unlimited.Inc()
		a.Log.Debug("a request of an operator is not counted", "error", err)
		return
	}
	if !held.Reached {
		return
	}
	// Reset is the end of the window cut down to whole seconds.
	wait := max(time.Until(time.Unix(held.Reset+1, 0)), time.Second)
	a.Fail(c, &proxy.Fault{Kind: proxy.RateLimited, RetryAfter: wait, Public: "too many requests to the management API from this address"})
}

// window names the window of an address. One IPv6 customer holds a /64 at least, so that is what counts as an address; the
// period is part of the name because a running window keeps the one it was begun with.
func (a *API) window(addr netip.Addr) string {
	addr = addr.Unmap().WithZone("")
	bits := addr.BitLen()
	if addr.Is6() {
		bits = 64
	}
	prefix, _ := addr.Prefix(bits) // of an address that could not be read it is the invalid prefix: one window for all
	return "api:" + a.Rate.Period.String() + ":" + prefix.String()
}
