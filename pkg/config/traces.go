package config

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/net/http/httpguts"

	"openai-api-proxy/pkg/proxy"
)

// collector is the address of one, to which /v1/traces is added.
func collector(s string) (string, error) {
	u, err := baseURL(s)
	if err != nil {
		return "", errors.New("must be a URL such as http://localhost:4318; what lets us in there goes into OTEL_EXPORTER_OTLP_HEADERS")
	}
	return u, nil
}

// headers checks a list of them; see TraceHeader.
func headers(s string) (proxy.Secret, error) {
	_, err := parseHeaders(s)
	return proxy.NewSecret(s), err
}

// TraceHeader is TraceHeaders as a header.
func (c *Config) TraceHeader() http.Header {
	h, _ := parseHeaders(c.TraceHeaders.Reveal()) // it was checked when it was read
	return h
}

func parseHeaders(s string) (http.Header, error) {
	all := http.Header{}
	for pair := range strings.SplitSeq(s, ",") {
		if pair = strings.TrimSpace(pair); pair == "" {
			continue
		}
		name, value, found := strings.Cut(pair, "=")
		name = strings.TrimSpace(name)
		value, err := url.PathUnescape(strings.TrimSpace(value))
		if !found || err != nil || !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
			return nil, errors.New("must be a comma list of name=value, with values percent-encoded")
		}
		all.Set(name, value)
	}
	return all, nil
}
