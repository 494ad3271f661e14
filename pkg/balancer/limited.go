package balancer

import (
	"context"
	"fmt"
	"time"

	"openai-api-proxy/pkg/proxy"
)

// Keys and accounts may have limits of their own (terms.go). Each replica holds a share of them (share.go) and an attempt
// takes from it, so that a pick makes no round trip as a rule. The state is asked on the path when nothing is at hand: by the
// first request after a while, and near the end of a limit, where units are taken one by one. A key whose limit is known to
// be reached is passed over like one that rests; when only such keys are left, a few of them are asked for all the same,
// since another replica may have given something back meanwhile. These limits hold for a pool of one too: they are the
// operator's wish.

// mostAsked bounds the keys that one pick asks for although their limits seem to be reached.
const mostAsked = 4

// findOrAsk is find, and when limits leave no key, one of those to be asked for all the same.
func (s *search) findOrAsk() (k *key, isSoft bool) {
	if !s.asking {
		if k, isSoft = s.find(); k != nil || !s.limited {
			return k, isSoft
		}
		s.asking = true
	}
	if s.asked++; s.asked > mostAsked {
		return nil, false
	}
	return s.find()
}

// passes reports whether a key that is well has to be passed over for its limits.
func (s *search) passes(k *key) bool {
	if s.asking || !k.share.isRefused(s.now) && !k.account.share.Load().isRefused(s.now) {
		return false
	}
	s.limited = true
	return true
}

// passOver takes a key out of the search that could not be had.
func (s *search) passOver(k *key) {
	s.refused = append(s.refused, k)
	if _, _, limited := k.limitedUntil(time.Now()); limited {
		s.limited = true
	}
}

// draw takes what the attempt needs of the limits of the key and of its account, or nothing.
func (p *Pick) draw(n Need) bool {
	for i, s := range [2]*share{p.k.share, p.k.account.share.Load()} {
		if s == nil {
			continue
		}
		drawn, ok := p.b.lender.draw(s, n)
		if !ok {
			p.b.lender.undo(p.drawn[0])
			p.drawn[0] = nil
			return false
		}
		p.drawn[i] = drawn
	}
	return true
}

// Used says what the attempt really used, as soon as that is known. Otherwise what was expected stays charged, unless the
// upstream certainly did nothing.
func (p *Pick) Used(n Need) { p.used, p.told = n, true }

// settle ends what was drawn.
func (p *Pick) settle() {
	for i, d := range p.drawn {
		p.b.lender.end(d, p.used, p.told)
		p.drawn[i] = nil
	}
}

// limitLocked puts the limits of a view in force where they are not those of its keys.
func (b *Balancer) limitLocked(v, before *View, gone []*key) {
	for _, k := range gone {
		if v.find(k.ID) == nil {
			b.lender.set("k:"+k.ID, new(proxy.Limits))
		}
	}
	limited := map[string]bool{}
	for i := range v.Accounts {
		a := &v.Accounts[i]
		limited[a.ID] = true
		s, _ := b.lender.set("a:"+a.ID, &a.Limits)
		if is := b.known.accounts[a.ID]; is != nil {
			is.share.Store(s)
		}
	}
	for _, a := range before.Accounts {
		if limited[a.ID] {
			continue
		}
		b.lender.set("a:"+a.ID, new(proxy.Limits))
		if is := b.known.accounts[a.ID]; is != nil {
			is.share.Store(nil)
		}
	}
}

// Metered reports whether any key or account limits tokens or money, so that it matters how much a request needs.
func (v *View) Metered() bool { return v.metered }

// readQuotas learns what is left of the quotas of keys and of their accounts.
func (b *Balancer) readQuotas(ctx context.Context, keys []*key) error {
	for _, k := range keys {
		for _, s := range [2]*share{k.share, k.account.share.Load()} {
			if !s.hasQuota() {
				continue
			}
			if err := b.lender.read(ctx, s, lookLeast); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *share) hasQuota() bool {
	if s == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.terms != nil && len(s.terms.limits.Quota) > 0
}

// limitsMoney reports whether the key or its account has a quota of money.
func (k *key) limitsMoney() bool {
	account := k.account.share.Load()
	return k.share != nil && k.share.money.Load() || account != nil && account.money.Load()
}

// unpriced is the fault for a request of which nobody knows what it costs, when the money of every key is limited.
func unpriced(model string) *proxy.Fault {
	f := &proxy.Fault{Kind: proxy.ModelNotAllowed, Param: "model"}
	if f.Public = "the money of every key is limited, and nobody knows what a request costs that names no model"; model != "" {
		f.Public = fmt.Sprintf("the money of every key is limited, and the model %q has no known price; "+
			"it can be given one under prices in the configuration of the proxy", clipped(model))
	}
	return f
}

// shut reports whether a quota of the key or of its account is used up, for the moment at least.
func (k *key) shut(now int64) bool { return k.share.isShut(now) || k.account.share.Load().isShut(now) }

// spentUntil reports whether a quota of the key or of its account is used up, and until when; zero: for ever.
func (k *key) spentUntil(now int64) (until time.Time, spent bool) {
	until, spent = k.share.isSpent(now)
	shared, also := k.account.share.Load().isSpent(now)
	switch {
	case spent && also && (until.IsZero() || shared.IsZero()):
		return time.Time{}, true
	case spent && also:
		return later(until, shared), true
	case also:
		return shared, true
	default:
		return until, spent
	}
}

// limitedUntil is why a limit of the key or of its account refused that has not freed since, and when it will; zero: never, or
// not known.
func (k *key) limitedUntil(now time.Time) (why proxy.Reason, frees time.Time, limited bool) {
	for _, s := range [2]*share{k.share, k.account.share.Load()} {
		if reason, at, is := s.frees(now); is && (!limited || at.After(frees)) {
			why, frees, limited = reason, at, true
		}
	}
	return why, frees, limited
}

// requestsLeft is how many requests are left of the key's quota, if it has one.
func (k *key) requestsLeft() (left int64, limited bool) {
	for _, is := range k.share.standings(time.Now()) {
		if is.Period != "" && is.Measure == proxy.Requests && (!limited || is.Left < left) {
			left, limited = is.Left, true
		}
	}
	return left, limited
}
