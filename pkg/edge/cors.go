package edge

import (
	"net/http"
	"slices"

	"github.com/gin-gonic/gin"
)

const (
	corsMethods = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
	corsExpose  = "X-Request-Id, X-Proxy-Request-Id, X-Proxy-Left-Out, Retry-After, Retry-After-Ms, X-Should-Retry, " +
		"X-Ratelimit-Limit-Requests, X-Ratelimit-Remaining-Requests, X-Ratelimit-Reset-Requests, " +
		"X-Ratelimit-Limit-Tokens, X-Ratelimit-Remaining-Tokens, X-Ratelimit-Reset-Tokens, Openai-Processing-Ms"
	corsAge = "600"
)

// cors lets browsers of the configured origins call. Credentials in the browser's sense are never allowed: a token in
// the Authorization header needs none.
func (e *Edge) cors(c *gin.Context) {
	origin := c.GetHeader("Origin")
	if origin == "" {
		return
	}
	h := c.Writer.Header()
	h.Add("Vary", "Origin")
	switch {
	case e.anyOrigin():
		h.Set("Access-Control-Allow-Origin", "*")
	case slices.Contains(e.CORSOrigins, origin):
		h.Set("Access-Control-Allow-Origin", origin)
	default:
		return
	}
	h.Set("Access-Control-Expose-Headers", corsExpose)
	if c.Request.Method != http.MethodOptions || c.GetHeader("Access-Control-Request-Method") == "" {
		return
	}
	h.Set("Access-Control-Allow-Methods", corsMethods)
	if asked := c.GetHeader("Access-Control-Request-Headers"); asked != "" {
		h.Set("Access-Control-Allow-Headers", asked)
		h.Add("Vary", "Access-Control-Request-Headers")
	}
	h.Set("Access-Control-Max-Age", corsAge)
	c.AbortWithStatus(http.StatusNoContent)
}

func (e *Edge) anyOrigin() bool { return slices.Contains(e.CORSOrigins, "*") }

// opensSockets reports whether a page of the origin may open WebSockets. Browsers ask nobody before they open one, and let the page
// read all that comes over it: what they enforce for requests is enforced here. Who is no browser sends no origin.
func (e *Edge) opensSockets(origins []string) bool {
	return e.anyOrigin() || !slices.ContainsFunc(origins, func(o string) bool { return !slices.Contains(e.CORSOrigins, o) })
}
