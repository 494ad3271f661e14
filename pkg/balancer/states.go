package balancer

import (
	"time"

	"openai-api-proxy/pkg/proxy"
)

// States of a key beside the reasons for which it rests.
const (
	Active   = "active"
	HalfOpen = "half-open" // its rest is over, one request will prove whether it is well
	Disabled = "disabled"
)

// KeyState is how a key is now.
type KeyState struct {
	Key       *proxy.Key
	State     string    // Active, HalfOpen, Disabled or a proxy.Reason
	Since     time.Time // zero: always
	Until     time.Time // zero: not said
	Reason    string    // why it is not active, in the words of proxy.Reason; empty: it is
	NextProbe time.Time // when it may prove itself, or is looked after next; zero: not known
	InFlight  int64
	Quota     *Standing  // the one nearest to its end; nil: none
	Limits    []Standing // of the key
	OfAccount []Standing // of its account
}

// States tells of every key, sorted by id. A key is cooling when any model of its account is.
func (b *Balancer) States() []KeyState {
	now, keys := time.Now(), b.view.Load().keys
	all := make([]KeyState, len(keys))
	for i, k := range keys {
		all[i] = k.state(now)
	}
	return all
}

// State tells of one key.
func (b *Balancer) State(id string) (KeyState, bool) {
	k := b.view.Load().find(id)
	if k == nil {
		return KeyState{}, false
	}
	return k.state(time.Now()), true
}

// state is how the key is, with the reason where there is one.
func (k *key) state(now time.Time) KeyState {
	s := k.stands(now)
	switch s.State {
	case Active:
	case HalfOpen:
		s.NextProbe = later(s.Until, time.Unix(0, max(k.rest.claim.Load(), k.account.rest.claim.Load())))
	case Disabled:
		s.Reason = Disabled
		if k.Enabled {
			s.Reason, s.Since = "expired", k.Expires
		}
	default:
		s.Reason, s.NextProbe = s.State, s.Until
	}
	return s
}

func (k *key) stands(now time.Time) KeyState {
	s := KeyState{Key: k.Key, State: Active, InFlight: k.inFlight.value()}
	s.Limits, s.OfAccount = k.share.standings(now), k.account.share.Load().standings(now)
	if quota, found := nearest(s.Limits); found {
		s.Quota = &quota
	}
	if !k.Enabled || !k.Expires.IsZero() && !now.Before(k.Expires) {
		s.State = Disabled
		return s
	}
	for _, r := range [2]*resting{&k.rest, &k.account.rest} {
		if r.until.Load() == 0 {
			continue
		}
		rest := r.current()
		s.State, s.Since, s.Until = string(rest.Reason), rest.Since, rest.Until
		if r.probation(now.UnixNano()) {
			s.State, s.Reason = HalfOpen, string(rest.Reason)
		}
		return s
	}
	if until, spent := k.spentUntil(now.UnixNano()); spent {
		s.State, s.Until = string(proxy.Exhausted), until
		return s
	}
	if rest, cooling := k.account.models.longest(proxy.Cooling, now); cooling {
		s.State, s.Since, s.Until = string(rest.Reason), rest.Since, rest.Until
		return s
	}
	if reason, frees, limited := k.limitedUntil(now); limited {
		s.State, s.Until = string(reason), frees
	}
	return s
}
