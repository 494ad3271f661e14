package proxy

import (
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Client is someone who may call, as configured. It never changes: a new configuration makes new ones.
type Client struct {
	ID      string
	Models  Patterns
	IPs     []netip.Prefix // empty: from anywhere
	Enabled bool
	Expires time.Time // zero: never
	RPM     int64     // requests per minute; 0: no limit
	Burst   int64     // requests at once; with RPM never 0
	Pool    string    // whose keys serve it; empty: the common one
	Group   string    // with whom it shares what it stores upstream; empty: with nobody

	TPM         int64          // tokens per minute, and at once; 0: no limit
	Concurrency int64          // requests at the same time; 0: no limit
	Quota       []Budget       // at most one for each measure and period
	Zone        *time.Location // whose calendar the quotas go by; nil: UTC
	// Strict admits only what provably stays within the token and money limits. Otherwise a request is admitted by an
	// estimate, and what it used beyond that is a debt of the requests after it.
	Strict bool
	// AllowUncounted lets requests pass, told of later, while the quotas cannot be asked. Otherwise they are refused.
	AllowUncounted bool
}

// Measure is what a budget counts.
type Measure string

// The measures. Money is counted in whole nano-dollars.
const (
	Requests Measure = "requests"
	Tokens   Measure = "tokens"
	Dollars  Measure = "usd"
)

// Budget is how much of a measure a client may use in a calendar period.
type Budget struct {
	Measure Measure
	Limit   int64
	Period  Period
}

// Amount is the limit for people: "5000 requests", "0.5 dollars".
func (b Budget) Amount() string {
	if b.Measure != Dollars {
		return fmt.Sprintf("%d %s", b.Limit, b.Measure)
	}
	return DollarText(b.Limit) + " dollars"
}

// Owner is whose the objects are that the client stores upstream: those of its group, or its own. A group and a client of one
// name are two.
func (c *Client) Owner() string {
	if c.Group != "" {
		return OwnerOfGroup(c.Group)
	}
	return OwnerOfClient(c.ID)
}

// OwnerOfClient is the owner of what a client without a group stores.
func OwnerOfClient(id string) string { return "c/" + id }

// OwnerOfGroup is the owner of what the clients of a group store.
func OwnerOfGroup(name string) string { return "g/" + name }

// DefaultClient is who calls with an upstream key while no client is configured.
const DefaultClient = "default"

// Restricted reports whether a limit of the client must read the request, so that a body that hides its model from us
// (an encoding, a name given twice) has to be refused.
func (c *Client) Restricted() bool { return len(c.Models) > 0 || c.Metered() }

// Metered reports whether tokens or money of the client are limited, so that the size of a request matters.
func (c *Client) Metered() bool {
	return c.TPM > 0 || slices.ContainsFunc(c.Quota, func(b Budget) bool { return b.Measure != Requests })
}
