package edge

import (
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"

	"openai-api-proxy/pkg/openai"
	"openai-api-proxy/pkg/proxy"
)

// protected headers must not be declared hop-by-hop by a caller: stripped on the way, they would change who is asked, or
// by whom, between the check and the forwarding.
var protected = map[string]bool{"authorization": true, "host": true, "content-length": true, "content-type": true,
	"cookie": true}

// refuseHostile answers 400 to what no client library sends.
func (e *Edge) refuseHostile(c *gin.Context) {
	if err := openai.CheckPath(c.Request.URL.EscapedPath()); err != nil {
		e.fail(c, pathFault(c.Request.Method, err))
		return
	}
	if text := hostileHeader(c.Request); text != "" {
		e.fail(c, proxy.Faultf(proxy.InvalidRequest, "%s", text))
	}
}

// hostileHeader names what is wrong with the headers, if anything is.
func hostileHeader(r *http.Request) string {
	for _, line := range r.Header["Connection"] {
		for name := range strings.SplitSeq(line, ",") {
			if protected[strings.ToLower(strings.TrimSpace(name))] {
				return "the Connection header may not name " + strings.ToLower(strings.TrimSpace(name))
			}
		}
	}
	if twoLengths(r) {
		return "Content-Length and Transfer-Encoding exclude one another"
	}
	if len(r.Header["Authorization"]) > 1 {
		return "there may be only one Authorization header"
	}
	if r.URL.Host != "" {
		return "the request line must not name a host"
	}
	return ""
}
