package upstream

import (
	"net/http"
	"net/textproto"
	"slices"
	"strings"

	"openai-api-proxy/pkg/proxy"
)

// hopByHop names the headers of one connection, which are never passed on (RFC 9110, 7.6.1).
var hopByHop = []string{"Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Te",
	"Trailer", "Transfer-Encoding", "Upgrade"}

// ours names what of a caller's headers is meant for us, or tells who the caller is: credentials, the choice of an
// organization, cookies, addresses. Accept-Encoding is left out so that the usage in an answer can be read; Expect is
// answered here.
var ours = hopByHopAnd("Authorization", "X-Api-Key", "Api-Key", "X-Goog-Api-Key", "Openai-Organization", "Openai-Project",
	"Cookie", "Forwarded", "Via", "X-Real-Ip", "X-Client-Ip", "True-Client-Ip", "X-Cluster-Client-Ip", "Cdn-Loop",
	"X-Original-Url", "X-Rewrite-Url", "X-Proxy-Request-Id", "X-Proxy-Debug", "X-Proxy-Beside", "Accept-Encoding", "Expect", "Host",
	"Content-Length", "Origin", "Referer")

// oursByPrefix are families of the same.
var oursByPrefix = []string{"X-Forwarded-", "Cf-", "X-Envoy-", "X-Original-", "Access-Control-Request-", "Sec-Fetch-", "Sec-Websocket-"}

// theirs names what of an upstream's headers is about our account, our connection to it, or said by us instead.
var theirs = hopByHopAnd("Set-Cookie", "Openai-Organization", "Openai-Project", "Alt-Svc", "Strict-Transport-Security",
	"X-Proxy-Request-Id", "X-Proxy-Why", "Content-Length")

// theirsByPrefix are families of the same.
var theirsByPrefix = []string{"X-Ratelimit-", "Access-Control-", "Cf-"}

// hopByHopAnd makes one set of both, so that each header is looked up once.
func hopByHopAnd(names ...string) map[string]bool { return set(append(names, hopByHop...)...) }

func set(names ...string) map[string]bool {
	m := make(map[string]bool, len(names))
	for _, n := range names {
		m[n] = true
	}
	return m
}

// forwardHeader is the caller's header as the upstream sees it, with our key in place of the caller's token.
func forwardHeader(from http.Header, key *proxy.Key) http.Header {
	to := make(http.Header, len(from)+1)
	copyHeader(to, from, ours, oursByPrefix)
	to.Set("Authorization", "Bearer "+key.Secret.Reveal())
	if key.Organization != "" {
		to.Set("Openai-Organization", key.Organization)
	}
	if key.Project != "" {
		to.Set("Openai-Project", key.Project)
	}
	if _, said := to["User-Agent"]; !said {
		to["User-Agent"] = []string{""} // the transport would name itself
	}
	return to
}

// copyHeader copies all but the headers that Connection names, those left out, and those that are set already, which are
// ours; Vary adds up.
func copyHeader(to, from http.Header, leave map[string]bool, leavePrefix []string) {
	named := connectionNames(from)
next:
	for name, values := range from {
		if leave[name] || named[name] {
			continue
		}
		for _, p := range leavePrefix {
			if strings.HasPrefix(name, p) {
				continue next
			}
		}
		if _, set := to[name]; !set {
			to[name] = values
		} else if name == "Vary" {
			to[name] = append(slices.Clone(to[name]), values...)
		}
	}
}

// connectionNames lists the headers that Connection declares hop-by-hop; nil for none, the usual case.
func connectionNames(h http.Header) map[string]bool {
	var named map[string]bool
	for _, line := range h["Connection"] {
		for name := range strings.SplitSeq(line, ",") {
			if name = strings.TrimSpace(name); name == "" || strings.EqualFold(name, "keep-alive") {
				continue // what nearly everybody says, of a header that is left out anyway
			}
			if named == nil {
				named = make(map[string]bool)
			}
			named[textproto.CanonicalMIMEHeaderKey(name)] = true
		}
	}
	return named
}
