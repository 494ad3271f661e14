package proxy

import (
	"net/netip"
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
}

// DefaultClient is who calls with an upstream key while no client is configured.
const DefaultClient = "default"

// Restricted reports whether a limit of the client must read the request, so that a body that hides its model from us
// (an encoding, a name given twice) has to be refused.
func (c *Client) Restricted() bool { return len(c.Models) > 0 }
