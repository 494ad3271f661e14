package cli

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	usualURL     = "http://127.0.0.1:10000"
	usualDataDir = "data"
	tokenFile    = "admin-token" // that a proxy with embedded state makes in its DATA_DIR
)

// connect finds out which proxy to ask, and with which token.
func connect(env func(string) (string, bool), flagged string) (*api, error) {
	base := flagged
	if base == "" {
		base = variable(env, "PROXY_URL")
	}
	if base == "" {
		base = usualURL
	}
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, misused("PROXY_URL and --url must be like %s", usualURL)
	}
	token, err := adminToken(env, u.Hostname())
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, TLSHandshakeTimeout: 10 * time.Second,
		DialContext: (&net.Dialer{Timeout: 10 * time.Second}).DialContext}
	return &api{base: strings.TrimRight(u.String(), "/"), host: u.Hostname(), token: token,
		http: &http.Client{Transport: transport, CheckRedirect: unfollowed}}, nil
}

// unfollowed leaves redirects alone: the token is for the proxy that was named.
func unfollowed(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// variable is a variable of the environment; empty means unset.
func variable(env func(string) (string, bool), name string) string {
	value, _ := env(name)
	return value
}

// adminToken is the operator's token. Without one that was given, that of a proxy with embedded state on this machine is
// looked for where it keeps it, so that a single developer types nothing.
func adminToken(env func(string) (string, bool), host string) (string, error) {
	token, file := variable(env, "ADMIN_TOKEN"), variable(env, "ADMIN_TOKEN_FILE")
	switch {
	case token != "" && file != "":
		return "", misused("ADMIN_TOKEN and ADMIN_TOKEN_FILE are both set; one is enough")
	case token != "":
		return token, nil
	case file != "":
		return readToken(file)
	}
	dir, set := env("DATA_DIR")
	if !set {
		dir = usualDataDir
	}
	path := filepath.Join(dir, tokenFile)
	if local(host) && dir != "" {
		if token, err := readToken(path); err == nil {
			return token, nil
		}
	}
	text := "there is no admin token: set ADMIN_TOKEN or ADMIN_TOKEN_FILE"
	if local(host) && dir != "" {
		text += "; " + path + " cannot be read either"
	}
	return "", fmt.Errorf("%s", text)
}

func readToken(path string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("the admin token: %w", err)
	}
	token := strings.TrimSpace(string(text))
	if token == "" || strings.ContainsAny(token, "\r\n") {
		return "", fmt.Errorf("the admin token: %s does not hold one line", path)
	}
	return token, nil
}

// local reports whether a host is this machine.
func local(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
