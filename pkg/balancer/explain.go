package balancer

import (
	"slices"
	"time"
)

// Explanation says of a pick which keys were considered, and why each of the others was passed over.
type Explanation struct {
	Strategy string         `json:"strategy"`
	Pool     string         `json:"pool,omitempty"`
	Model    string         `json:"model,omitempty"`
	Picked   string         `json:"picked,omitempty"` // empty: none could be
	Counts   map[string]int `json:"counts"`           // of all keys, by why
	Keys     []Considered   `json:"keys"`             // the first of them, those nearest to being picked before the others
}

// Considered is one key as the pick saw it.
type Considered struct {
	Key   string     `json:"key"`
	Why   string     `json:"why"`
	Until *time.Time `json:"until,omitempty"`
}

// Why a key was picked or passed over, besides the reasons of rests.
const (
	whyPicked   = "picked"
	whyUsable   = "usable"
	whySlowed   = "slowed"      // close to a rate limit
	whyLast     = "last resort" // its model or its endpoint rests
	whyTried    = "tried before"
	whyProbed   = "half-open, another request is its probe"
	whyModel    = "does not serve the model"
	whyPool     = "of another pool"
	whyAccount  = "of another account than the stored object"
	whyUnpriced = "has a quota of money, and the model no price"
	whyDisabled = "disabled"
	whyExpired  = "expired"
)

// nearness orders the reasons for reading: what was picked first, what could never have been last.
var nearness = []string{whyPicked, whyUsable, whySlowed, whyTried, whyLast}
var farthest = []string{whyUnpriced, whyAccount, whyDisabled, whyExpired, whyModel, whyPool}

// explained bounds the keys that an explanation names.
const explained = 50

// Explain says how things stood for a pick that was just made; nil for one that found no key. It looks at every key, so it is
// for operators who ask.
func (v *View) Explain(ask Ask, pick *Pick) Explanation {
	now := time.Now()
	e := Explanation{Strategy: string(v.strategy), Pool: ask.Pool, Model: ask.Model, Counts: map[string]int{}}
	if pick != nil {
		e.Picked = pick.Key.ID
	}
	for _, k := range v.keys {
		c := k.considered(ask, pick, now)
		e.Counts[c.Why]++
		e.Keys = append(e.Keys, c)
	}
	slices.SortStableFunc(e.Keys, func(a, b Considered) int { return distance(a.Why) - distance(b.Why) })
	e.Keys = e.Keys[:min(len(e.Keys), explained)]
	return e
}

func distance(why string) int {
	if i := slices.Index(nearness, why); i >= 0 {
		return i
	}
	return len(nearness) + 1 + slices.Index(farthest, why)
}

func (k *key) considered(ask Ask, pick *Pick, now time.Time) Considered {
	c := Considered{Key: k.ID}
	switch {
	case pick != nil && pick.Key == k.Key:
		c.Why = whyPicked
	case k.Pool != ask.Pool:
		c.Why = whyPool
	case !k.Enabled:
		c.Why = whyDisabled
	case !k.Expires.IsZero() && !now.Before(k.Expires):
		c.Why = whyExpired
	case !k.Serves(ask.Model):
		c.Why = whyModel
	case ask.Account != "" && k.Account != ask.Account:
		c.Why = whyAccount
	case slices.Contains(ask.Tried, k.Key):
		c.Why = whyTried
	case ask.Need.Unpriced && k.limitsMoney():
		c.Why = whyUnpriced
	default:
		c.Why, c.Until = k.standing(ask.Model, now)
	}
	return c
}

// standing is how usable a key is, in the words of an explanation.
func (k *key) standing(model string, now time.Time) (string, *time.Time) {
	g := k.grade(model, now.UnixNano())
	if reason, frees, limited := k.limitedUntil(now); limited && g >= slowed {
		return string(reason), shown(frees)
	}
	switch g {
	case usable:
		return whyUsable, nil
	case slowed:
		return whySlowed, shown(k.account.pace.slowed.end(model))
	case soft:
		return whyLast, nil
	}
	for _, r := range [2]*resting{&k.rest, &k.account.rest} {
		if r.probation(now.UnixNano()) && !r.ready(now.UnixNano()) {
			return whyProbed, nil
		}
	}
	reason, until := k.why(model, now)
	if reason == "" { // it came back in between
		return whyUsable, nil
	}
	return string(reason), shown(until)
}

// shown is a time as an explanation shows it; nil when there is none.
func shown(at time.Time) *time.Time {
	if at.IsZero() {
		return nil
	}
	at = at.UTC().Truncate(time.Millisecond)
	return &at
}
