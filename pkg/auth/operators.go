package auth

import (
	"context"
	"crypto/subtle"
	"net/http"
	"net/netip"
	"sync/atomic"

	"openai-api-proxy/pkg/proxy"
)

// AdminOptions are the operators' tokens.
type AdminOptions struct {
	Token   proxy.Secret // for the management API; none: it is closed
	Metrics proxy.Secret // for /metrics, besides Token; may be none
	Gate    *Gate        // whose failure limit, log and metrics are shared: an address has one allowance for all guesses
}

// Tokens lets operators in.
type Tokens struct {
	held atomic.Pointer[operators]
	gate *Gate
}

type operators struct{ admin, metrics proxy.Secret }

// NewAdmin makes the check for operators.
func NewAdmin(o AdminOptions) *Tokens {
	t := &Tokens{gate: o.Gate}
	t.Set(o.Token, o.Metrics)
	return t
}

// Set puts other tokens in the place of those that counted before.
func (t *Tokens) Set(admin, metrics proxy.Secret) { t.held.Store(&operators{admin, metrics}) }

// Admin lets the holder of the admin token use the management API. Errors are those of Gate.Client, and AdminDisabled
// when there is no admin token.
func (t *Tokens) Admin(ctx context.Context, header http.Header, addr netip.Addr) error {
	return t.check(ctx, header, addr, t.held.Load().admin)
}

// Metrics lets the holder of either token read the metrics. Errors are those of Admin.
func (t *Tokens) Metrics(ctx context.Context, header http.Header, addr netip.Addr) error {
	held := t.held.Load()
	return t.check(ctx, header, addr, held.admin, held.metrics)
}

// check compares with every token that is set, found or not, so that the time taken tells nothing.
func (t *Tokens) check(ctx context.Context, header http.Header, addr netip.Addr, tokens ...proxy.Secret) error {
	given, why := bearer(header)
	hash := proxy.NewSecret(given).Hash()
	set, match := false, 0
	for _, token := range tokens {
		if token.IsZero() {
			continue
		}
		want := token.Hash()
		set = true
		match |= subtle.ConstantTimeCompare(hash[:], want[:])
	}
	switch {
	case !set:
		return proxy.Faultf(proxy.AdminDisabled, "the management API is closed: no admin token is set")
	case why != none:
		return t.gate.refuse(ctx, addr, why)
	case match == 0:
		return t.gate.refuse(ctx, addr, unknown)
	default:
		return nil
	}
}
