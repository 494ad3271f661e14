package config

import (
	"errors"
	"net/netip"
	"net/url"
	"strings"
)

// baseURL is an upstream origin with an optional path prefix. A /v1 at its end is cut, as operations bring their own.
func baseURL(s string) (string, error) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return "", errors.New("must be a URL such as https://api.openai.com")
	}
	if u.User != nil {
		return "", errors.New("must not hold credentials; keys have a place of their own")
	}
	if u.ForceQuery || strings.ContainsAny(s, "?#") {
		return "", errors.New("must not have a query or a fragment")
	}
	if u.Port() != "" || strings.HasSuffix(u.Host, ":") {
		if _, err := wholeNumber(u.Port(), 1, 65535); err != nil {
			return "", errors.New("has a port that is not between 1 and 65535")
		}
	}
	path := strings.TrimSuffix(strings.TrimRight(u.EscapedPath(), "/"), "/v1")
	if !plain(path) || strings.Contains(u.Host, "%") {
		return "", errors.New("has empty, dotted or escaped parts")
	}
	return u.Scheme + "://" + strings.ToLower(u.Host) + path, nil
}

// plain reports whether no two readers of an escaped path could disagree on what it names.
func plain(path string) bool {
	if path == "" {
		return true
	}
	for _, part := range strings.Split(path[1:], "/") {
		if part == "" || part == "." || part == ".." || strings.ContainsAny(part, `%\`) {
			return false
		}
	}
	return true
}

const notEncrypted = "is plain http to a public host, so keys and prompts can be read on the way; use https"

// exposed reports whether a base URL sends keys readable to a host that is not plainly our own or a neighbour.
func exposed(base string) bool {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" {
		return false
	}
	host := u.Hostname()
	if a, err := netip.ParseAddr(host); err == nil {
		a = a.Unmap()
		return !a.IsLoopback() && !a.IsPrivate() && !a.IsLinkLocalUnicast()
	}
	if !strings.Contains(host, ".") {
		return false // localhost, a container's or a pod's short name
	}
	for _, own := range []string{".localhost", ".local", ".internal", ".home.arpa"} {
		if strings.HasSuffix(host, own) {
			return false
		}
	}
	return true
}
