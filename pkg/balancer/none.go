package balancer

import (
	"fmt"
	"time"

	"openai-api-proxy/pkg/proxy"
)

// shortages count the keys of a pool by why they cannot be used.
type shortages struct {
	keys                                       int
	cooling, open, exhausted, invalid, limited int
	unpriced                                   int
	soonest                                    time.Time
}

// none is the fault for a pool of which no key can be used: 429 when those that are well only cool, otherwise 503.
func (v *View) none(p *pool, ask Ask) *proxy.Fault {
	if len(p.keys) == 0 {
		if len(v.keys) > 0 && ask.Model != "" {
			return &proxy.Fault{Kind: proxy.InvalidRequest, Param: "model",
				Public: fmt.Sprintf("no key serves the model %q", clipped(ask.Model))}
		}
		return proxy.Faultf(proxy.NoAvailableKey, "no key is enabled")
	}
	s := p.shortages(ask, time.Now())
	if s.keys == 0 {
		return proxy.Faultf(proxy.NoAvailableKey, "no key of the account is left in which the stored object lies")
	}
	if s.unpriced == s.keys {
		return unpriced(ask.Model)
	}
	f, where := &proxy.Fault{Kind: proxy.NoAvailableKey, RetryAfter: time.Second}, ""
	if ask.Account != "" {
		where = " of the account in which the stored object lies"
	}
	if s.cooling+s.limited > 0 && s.open == 0 {
		f.Kind = proxy.RateLimited
	}
	if !s.soonest.IsZero() {
		f.RetryAfter = max(time.Until(s.soonest), time.Second)
	}
	f.Public = fmt.Sprintf("none of %d keys"+where+" is available: %d cooling after rate limits, %d at limits of their own, %d failing, "+
		"%d out of credit or quota, %d not accepted", s.keys, s.cooling, s.limited, s.open, s.exhausted, s.invalid)
	return f
}

func (p *pool) shortages(ask Ask, now time.Time) (s shortages) {
	for _, k := range p.keys {
		if ask.Account != "" && k.Account != ask.Account {
			continue
		}
		s.keys++
		if ask.Need.Unpriced && k.limitsMoney() {
			s.unpriced++
			continue
		}
		reason, until := k.why(ask.Model, now)
		switch reason {
		case proxy.Cooling:
			s.cooling++
		case proxy.Open:
			s.open++
		case proxy.Exhausted:
			s.exhausted++
		case proxy.Invalid:
			s.invalid++
		case proxy.Limited:
			s.limited++
		}
		if !until.IsZero() && (s.soonest.IsZero() || until.Before(s.soonest)) {
			s.soonest = until
		}
	}
	return s
}

// why is the reason for which a key cannot be used, and until when; empty when it can.
func (k *key) why(model string, now time.Time) (proxy.Reason, time.Time) {
	for _, r := range [2]*resting{&k.rest, &k.account.rest} {
		if !r.ready(now.UnixNano()) {
			rest := r.current()
			return rest.Reason, later(rest.Until, time.Unix(0, r.claim.Load()))
		}
	}
	if until, spent := k.spentUntil(now.UnixNano()); spent {
		return proxy.Exhausted, until
	}
	if until := k.account.models.until(model, proxy.Cooling); until.After(now) {
		return proxy.Cooling, until
	}
	if reason, frees, limited := k.limitedUntil(now); limited {
		return reason, frees
	}
	if k.shut(now.UnixNano()) {
		return proxy.Limited, now.Add(lentFor)
	}
	return "", time.Time{}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
