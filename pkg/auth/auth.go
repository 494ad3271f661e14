// Package auth turns a bearer token into a proxy.Client, says which models that client may name, and lets operators in.
//
// Tokens are long and random, so SHA-256 is enough to store and find them by. Whatever is wrong with a token (there is
// none, nobody has it, it is disabled or expired) the caller is told the same, byte for byte, so that nobody learns
// which tokens exist; the cause goes to the log and to a metric.
//
// Failures are limited by address, and the limiter is asked only once a token has been refused: a valid token never
// waits for it, so neither a limiter that fails nor a stranger behind the same address can lock a client out.
package auth

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/ulule/limiter/v3"

	"openai-api-proxy/pkg/proxy"
)

// Credential says whose the token with this SHA-256 is.
type Credential struct {
	Hash   [sha256.Size]byte
	Client *proxy.Client
	Until  time.Time // zero: for as long as the client may call
}

// Options are the parts and settings of a Gate.
type Options struct {
	Failures limiter.Store    // counts failed authentications; see NewFailureStore
	Rate     limiter.Rate     // of failures from one address; zero: 30 a minute
	Now      func() time.Time // nil: time.Now
	Log      *slog.Logger
	Metrics  prometheus.Registerer
}

// Gate knows the clients by their tokens.
type Gate struct {
	byHash   map[[sha256.Size]byte]Credential // never written after With
	failures *failures
	now      func() time.Time
	log      *slog.Logger
	metrics  *metrics
}

// New makes a Gate that knows nobody; see With.
func New(o Options) *Gate {
	if o.Now == nil {
		o.Now = time.Now
	}
	m := newMetrics(o.Metrics)
	return &Gate{failures: newFailures(o, m.limiterErrors), now: o.Now, log: o.Log, metrics: m}
}

// With is the same gate for other credentials: all of them have one count of failures. Of two with one hash the later one
// is kept.
func (g *Gate) With(credentials []Credential) *Gate {
	other := *g
	other.byHash = make(map[[sha256.Size]byte]Credential, len(credentials))
	for _, c := range credentials {
		other.byHash[c.Hash] = c
	}
	return &other
}

// Client returns who calls from addr with the header's bearer token. Errors are *proxy.Fault: InvalidAPIKey, or
// RateLimited in its place after too many failures; IPNotAllowed; InvalidRequest when there are two credentials.
func (g *Gate) Client(ctx context.Context, header http.Header, addr netip.Addr) (*proxy.Client, error) {
	token, why := bearer(header)
	if why != none {
		return nil, g.refuse(ctx, addr, why)
	}
	found, why := g.find(token)
	if why == none {
		why = g.usable(found.Client)
	}
	if why != none {
		return nil, g.refuse(ctx, addr, why)
	}
	if !within(found.Client.IPs, addr) {
		return nil, g.refuse(ctx, addr, outside)
	}
	return found.Client, nil
}

// Still returns who calls from addr with the header's bearer token, as Client does, and until when that holds if nothing is
// configured anew; the zero time: for ever. nil: nobody does any more. It is asked of a session that goes on, of which nobody
// guesses the token: nothing is counted.
func (g *Gate) Still(header http.Header, addr netip.Addr) (client *proxy.Client, until time.Time) {
	token, why := bearer(header)
	if why != none {
		return nil, time.Time{}
	}
	found, why := g.find(token)
	if why != none || g.usable(found.Client) != none || !within(found.Client.IPs, addr) {
		return nil, time.Time{}
	}
	return found.Client, proxy.Sooner(found.Until, found.Client.Expires)
}

// find returns whose the token is, or why it is nobody's. An unknown token finds the zero credential, and is compared like
// a known one.
func (g *Gate) find(token string) (Credential, cause) {
	hash := sha256.Sum256([]byte(token))
	found := g.byHash[hash]
	switch {
	case subtle.ConstantTimeCompare(found.Hash[:], hash[:]) == 0:
		return Credential{}, unknown
	case !found.Until.IsZero() && !g.now().Before(found.Until):
		return Credential{}, expired // it was rotated
	default:
		return found, none
	}
}

// usable says why the client's token does not count, or none.
func (g *Gate) usable(c *proxy.Client) cause {
	switch {
	case !c.Enabled:
		return disabled
	case !c.Expires.IsZero() && !g.now().Before(c.Expires):
		return expired
	default:
		return none
	}
}

// within reports whether addr is in one of the prefixes; no prefixes at all mean everywhere. An IPv4 address is one
// however it is written, and a zone says nothing about who calls.
func within(prefixes []netip.Prefix, addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	for _, p := range prefixes {
		if p.Contains(addr) {
			return true
		}
	}
	return len(prefixes) == 0
}
