package config

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"openai-api-proxy/pkg/proxy"
)

// This file holds how single values are written. Each function takes a text and returns its meaning, or an error that
// says how to write it; none repeats the text.

func anyText(s string) (string, error) { return s, nil }

var identifierShape = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// identifier is a name that is safe in logs, metrics, paths and Redis keys.
func identifier(s string) (string, error) {
	if !identifierShape.MatchString(s) {
		return "", errors.New("must be 1 to 64 letters, digits, dots, dashes or underscores")
	}
	return s, nil
}

// headerText is a text that goes into a header as it is.
func headerText(s string) (string, error) {
	for i, r := range s {
		if r <= ' ' || r > '~' {
			return "", fmt.Errorf("must be printable ASCII without spaces, since it goes into a header; byte %d is not", i+1)
		}
	}
	if s == "" {
		return "", errors.New("must not be empty")
	}
	return s, nil
}

func secret(s string) (proxy.Secret, error) {
	s, err := headerText(s)
	return proxy.NewSecret(s), err
}

const (
	leastToken = 16 // characters of a token that is made here; less can be guessed
	goodToken  = 22 // characters that hold 128 random bits in base64
)

// bearer is a secret that callers or operators send to us.
func bearer(s string) (proxy.Secret, error) {
	if len(s) < leastToken {
		return proxy.Secret{}, fmt.Errorf("must have at least %d characters; make one with `openssl rand -hex 16`",
			leastToken)
	}
	return secret(s)
}

// oneOf takes the words as they are.
func oneOf(words ...string) func(string) (string, error) {
	return func(s string) (string, error) {
		if !slices.Contains(words, s) {
			return "", fmt.Errorf("must be one of %s", strings.Join(words, ", "))
		}
		return s, nil
	}
}

func boolean(s string) (bool, error) {
	if s != "true" && s != "false" {
		return false, errors.New("must be true or false")
	}
	return s == "true", nil
}

// wholeNumber takes decimal digits only: YAML's 010 is 8, and 1_000 a text to most other readers.
func wholeNumber(s string, least, most int64) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if !errors.Is(err, strconv.ErrRange) && strconv.FormatInt(n, 10) != s {
		return 0, errors.New("must be a whole number in plain digits")
	}
	if err != nil || n < least || n > most {
		return 0, fmt.Errorf("must be between %d and %d", least, most)
	}
	return n, nil
}

// count is a whole number within bounds.
func count(least, most int64) func(string) (int64, error) {
	return func(s string) (int64, error) { return wholeNumber(s, least, most) }
}

// duration takes what time.ParseDuration does, but not the bare zero.
func duration(least, most time.Duration) func(string) (time.Duration, error) {
	return func(s string) (time.Duration, error) {
		if _, err := strconv.ParseFloat(s, 64); err == nil {
			return 0, errors.New("needs a unit: write 30s or 5m")
		}
		d, err := time.ParseDuration(s)
		if err != nil {
			return 0, errors.New("must be a duration such as 30s or 5m")
		}
		if d < least || d > most {
			return 0, fmt.Errorf("must be between %v and %v", least, most)
		}
		return d, nil
	}
}

var sizeShape = regexp.MustCompile(`^([0-9]{1,15}) ?(|KiB|MiB|GiB)$`)

// size takes a number of bytes, or of 1024, 1024² or 1024³ of them.
func size(least, most int64) func(string) (int64, error) {
	units := map[string]int64{"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
	return func(s string) (int64, error) {
		parts := sizeShape.FindStringSubmatch(s)
		if parts == nil {
			return 0, errors.New("must be a number of bytes such as 1048576, 512 KiB, 512 MiB or 1 GiB")
		}
		n, _ := strconv.ParseInt(parts[1], 10, 64)
		if unit := units[parts[2]]; n >= (least+unit-1)/unit && n <= most/unit {
			return n * unit, nil
		}
		return 0, fmt.Errorf("must be between %d and %d bytes", least, most)
	}
}

// port is a port on all addresses, returned as host:port.
func port(s string) (string, error) {
	if _, err := wholeNumber(s, 1, 65535); err != nil {
		return "", err
	}
	return ":" + s, nil
}

// address is host:port; the host may be missing, and port 0 is any free one.
func address(s string) (string, error) {
	host, number, err := net.SplitHostPort(s)
	if err != nil || strings.ContainsFunc(host, func(r rune) bool { return r <= ' ' || r > '~' || r == '/' }) {
		return "", errors.New("must be host:port, such as 127.0.0.1:10000, [::1]:10000 or :10000")
	}
	if _, err := wholeNumber(number, 0, 65535); err != nil {
		return "", fmt.Errorf("the port %w", err)
	}
	return s, nil
}

// prefix is a CIDR or a single address. IPv4 in IPv6 becomes IPv4, as the addresses of callers do.
func prefix(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" {
			return p, errors.New("must be an address or a range, such as 192.0.2.1 or 10.0.0.0/8")
		}
		p = netip.PrefixFrom(a, a.BitLen())
	}
	if p.Addr().Is4In6() {
		if p.Bits() < 96 {
			return p, errors.New("mixes IPv4 and IPv6; write two ranges")
		}
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked(), nil
}

// commaList takes one or more values between commas.
func commaList[T any](parse func(string) (T, error)) func(string) ([]T, error) {
	return func(s string) ([]T, error) {
		var all []T
		for i, part := range strings.Split(s, ",") {
			v, err := parse(strings.TrimSpace(part))
			if err != nil {
				return nil, fmt.Errorf("entry %d %w", i+1, err)
			}
			all = append(all, v)
		}
		return all, nil
	}
}

// origins is "*", or origins as browsers send them.
func origins(s string) ([]string, error) {
	if s == "*" {
		return []string{"*"}, nil
	}
	return commaList(origin)(s)
}

func origin(s string) (string, error) {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || s != u.Scheme+"://"+u.Host {
		return "", errors.New("must be scheme://host[:port] without a path, such as https://app.example; or all of it *")
	}
	return strings.ToLower(s), nil
}

// expiry is a moment.
func expiry(s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return t, errors.New("must be a moment such as 2030-01-01T00:00:00Z")
	}
	return t, nil
}

var operationShape = regexp.MustCompile(`^(GET|POST|PUT|PATCH|DELETE) /v1/[A-Za-z0-9._~{}/:-]+$`)

func operation(s string) (string, error) {
	if !operationShape.MatchString(s) {
		return "", errors.New(`must be a method and a path, such as "POST /v1/decisions" or "GET /v1/things/{id}"`)
	}
	return s, nil
}

// redisURL leaves the details to the client library, which knows more parameters than we do.
func redisURL(s string) (proxy.Secret, error) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "redis" && u.Scheme != "rediss" || u.Host == "" {
		return proxy.Secret{}, errors.New("must be redis://host:port or rediss://host:port")
	}
	return proxy.NewSecret(s), nil
}

func encryptionKey(s string) (proxy.Secret, error) {
	raw, err := base64.StdEncoding.DecodeString(s)
	if err != nil || len(raw) != 32 {
		return proxy.Secret{}, errors.New("must be 32 bytes in base64; make them with `openssl rand -base64 32`")
	}
	return proxy.NewSecret(s), nil
}
