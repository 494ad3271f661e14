package proxy

import (
	"fmt"
	"time"
)

// Kind is the reason for which the proxy itself refuses or fails a request. Package edge turns it into a status.
type Kind string

// The kinds are the codes that callers see.
const (
	InvalidRequest     Kind = "invalid_request"
	InvalidAPIKey      Kind = "invalid_api_key"
	ModelNotAllowed    Kind = "model_not_allowed"
	IPNotAllowed       Kind = "ip_not_allowed"
	EndpointNotAllowed Kind = "endpoint_not_allowed"
	OriginNotAllowed   Kind = "origin_not_allowed"
	AdminDisabled      Kind = "admin_disabled"
	UnknownEndpoint    Kind = "unknown_endpoint"
	TooLarge           Kind = "request_too_large"
	RateLimited        Kind = "rate_limit_exceeded"
	OverBudget         Kind = "insufficient_quota"
	LimitsUnknown      Kind = "limits_unavailable" // they must hold, and the shared state is away
	UpstreamError      Kind = "upstream_error"
	UpstreamTimeout    Kind = "upstream_timeout"
	NoAvailableKey     Kind = "no_available_key"
	NotSupportedYet    Kind = "not_supported_yet"
	NotFound           Kind = "not_found"         // nor is what is another client's
	Conflict           Kind = "conflict"          // management API: not as it is configured now
	StateUnavailable   Kind = "state_unavailable" // nobody knows now, or nothing can be changed
	CallerLeft         Kind = "caller_gone"       // nobody is left to be told
	Internal           Kind = "internal_error"
)

// Fault is an error with a kind, a text that the caller may read, and a cause that only we may.
type Fault struct {
	Kind       Kind
	Public     string
	Param      string        // the request field at fault, if one is
	RetryAfter time.Duration // when to come back; 0: not said
	Spent      bool          // several keys were tried already: the caller's SDK need not try again
	Err        error
}

// Faultf makes a fault with a formatted public text.
func Faultf(kind Kind, format string, args ...any) *Fault {
	return &Fault{Kind: kind, Public: fmt.Sprintf(format, args...)}
}

func (f *Fault) Error() string {
	if f.Err != nil {
		return fmt.Sprintf("%s: %s: %v", f.Kind, f.Public, f.Err)
	}
	return fmt.Sprintf("%s: %s", f.Kind, f.Public)
}

func (f *Fault) Unwrap() error { return f.Err }
