package admission

import (
	"errors"
	"strings"
	"time"

	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
)

// The names of limits, in the store too. A quota's is its measure and period: "tokens/month".
const (
	requests = "rpm"
	tokens   = "tpm"
	slots    = "concurrency"
)

// amounts are what a request uses of each measure besides itself.
type amounts struct{ tokens, nanoUSD int64 }

// chargesOf are the charges of one request. A soft client is charged no more than a limit has in all: otherwise a request
// whose estimate is too large would wait for ever. What it really used is charged in full when it is settled. They are added to all.
func chargesOf(all []state.Charge, c *proxy.Client, expected amounts) []state.Charge {
	if c.RPM > 0 {
		all = append(all, state.Charge{Limit: requests, Cost: 1, Rate: state.Rate{Count: c.RPM, Per: time.Minute, Burst: c.Burst}})
	}
	if c.TPM > 0 {
		all = append(all, state.Charge{Limit: tokens, Cost: atMost(c, expected.tokens, c.TPM),
			Rate: state.Rate{Count: c.TPM, Per: time.Minute, Burst: c.TPM}})
	}
	if c.Concurrency > 0 {
		all = append(all, state.Charge{Limit: slots, Cost: 1, Slots: c.Concurrency})
	}
	for _, b := range c.Quota {
		all = append(all, chargeOf(c, b, expected))
	}
	return all
}

// chargeOf is what a quota is charged.
func chargeOf(c *proxy.Client, b proxy.Budget, expected amounts) state.Charge {
	cost := int64(1)
	switch b.Measure {
	case proxy.Tokens:
		cost = atMost(c, expected.tokens, b.Limit)
	case proxy.Dollars:
		cost = atMost(c, expected.nanoUSD, b.Limit)
	}
	return state.Charge{Limit: quotaName(b.Measure, b.Period), Cost: cost,
		Quota: state.Quota{Limit: b.Limit, Period: b.Period, Zone: c.Zone}}
}

// quotaNames are those of the quotas, which each request with one needs.
var quotaNames = func() map[proxy.Measure]map[proxy.Period]string {
	all := map[proxy.Measure]map[proxy.Period]string{}
	for _, m := range []proxy.Measure{proxy.Requests, proxy.Tokens, proxy.Dollars} {
		all[m] = map[proxy.Period]string{}
		for _, p := range []proxy.Period{proxy.Minute, proxy.Hour, proxy.Day, proxy.Month, proxy.Total} {
			all[m][p] = string(m) + "/" + string(p)
		}
	}
	return all
}()

func quotaName(m proxy.Measure, p proxy.Period) string {
	if name, known := quotaNames[m][p]; known {
		return name
	}
	return string(m) + "/" + string(p)
}

func atMost(c *proxy.Client, expected, limit int64) int64 {
	if c.Strict {
		return expected
	}
	return min(expected, limit)
}

// measureOf is what a charge counts.
func measureOf(c state.Charge) proxy.Measure {
	switch c.Limit {
	case requests, slots:
		return proxy.Requests
	case tokens:
		return proxy.Tokens
	}
	measure, _, _ := strings.Cut(c.Limit, "/")
	return proxy.Measure(measure)
}

// kindName is the kind of limit for metrics: those of all clients have few names.
func kindName(limit string) string {
	kind, _, _ := strings.Cut(limit, "/")
	return kind
}

// unestimated is what refused a request of which nobody can say what it uses.
func unestimated(err error) string {
	if errors.Is(err, errUnpriced) {
		return "unpriced"
	}
	return "unbounded"
}
