package auth

import (
	"context"
	"crypto/subtle"
	"net/http"
	"net/netip"

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
	admin, metrics proxy.Secret
	gate           *Gate
}

// NewAdmin makes the check for operators.
func NewAdmin(o AdminOptions) *Tokens {
	return &Tokens{admin: o.Token, metrics: o.Metrics, gate: o.Gate}
}

// Admin lets the holder of the admin token use the management API. Errors are those of Gate.Client, and AdminDisabled
// when there is no admin token.
func (t *Tokens) Admin(ctx context.Context, header http.Header, addr netip.Addr) error {
	return t.check(ctx, header, addr, t.admin)
}

// Metrics lets the holder of either token read the metrics. Errors are those of Admin.
func (t *Tokens) Metrics(ctx context.Context, header http.Header, addr netip.Addr) error {
	return t.check(ctx, header, addr, t.admin, t.metrics)
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
