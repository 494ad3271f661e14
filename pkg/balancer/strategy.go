package balancer

import (
	"context"
	"math/rand/v2"
	"time"

	"openai-api-proxy/pkg/proxy"
)

// strategy is how the next key is found among those that are usable.
type strategy string

const (
	roundRobin strategy = "roundrobin"
	random     strategy = "random"
	weighted   strategy = "weighted"
	byQuota    strategy = "quota"
	leastBusy  strategy = "leastbusy"
)

// weighs reports whether configured weights count.
func (s strategy) weighs() bool { return s == weighted || s == random }

// position is where the search begins: the next one of the shared cursor, or a random one. A second try of a request, and
// one that has to go to a certain account, leaves the cursor alone, so that the shares of all others stay exact.
func (v *View) position(ctx context.Context, p *pool, apart bool) int64 {
	b := v.b
	switch {
	case len(p.keys) < 2:
		return 0
	case apart:
		return p.retries.Add(1)
	case v.strategy != roundRobin && v.strategy != weighted:
		return rand.Int64N(p.weights.total << 20)
	}
	advance := func(ctx context.Context) (int64, error) { return b.Store.Advance(ctx, p.id, 1) }
	if b.LeaseCursor {
		advance = func(ctx context.Context) (int64, error) { return b.leased(ctx, p) }
	}
	at, err := advance(ctx)
	if err != nil {
		b.metrics.undecided.WithLabelValues("cursor").Inc()
		p.local.CompareAndSwap(0, rand.Int64N(p.weights.total)+1) // replicas must not all begin with the same key
		return p.local.Add(1)
	}
	return at
}

// grade says how usable a key is.
type grade uint8

const (
	unusable grade = iota
	soft           // only when nothing better is left
	slowed         // close to a rate limit, else well: only when all others are too
	usable
)

// search finds a key for one Pick. Its small arrays live on the stack of the caller.
type search struct {
	view     *View
	pool     *pool
	ask      Ask
	now      int64
	position int64
	refused  []*key // candidates that turned out to be taken
	slowed   bool   // one was passed over for being close to a rate limit
	limited  bool   // one was, or had to be, for a limit of its own
	asking   bool   // those are asked for all the same
	asked    int
}

// find is the key to use, best kind first; nil for none.
func (s *search) find() (k *key, isSoft bool) {
	if len(s.pool.keys) == 0 {
		return nil, false
	}
	avoid, only := s.preference()
	if avoid {
		if k := s.chooseWell(true); k != nil {
			return k, false
		}
	}
	if !only {
		if k := s.chooseWell(false); k != nil {
			return k, false
		}
	}
	if s.limited || !s.softToo() { // who waits for a limit is served better then than by a key that is not well
		return nil, false
	}
	if avoid {
		if k := s.choose(soft, true); k != nil {
			return k, true
		}
	}
	if only {
		return nil, false
	}
	return s.choose(soft, false), true
}

// softToo reports whether a key that is only good for want of a better one may be tried. For a second try it may when the
// first said nothing about what such keys have in common, their model or their endpoint: a bad key, a rate limit, a bill.
// After an overload all keys of the endpoint are such keys, and the pause before the second try is what betters it.
func (s *search) softToo() bool {
	if len(s.ask.Tried) == 0 || s.ask.Last == proxy.Overloaded {
		return true
	}
	return s.ask.Last.Row().Fate == proxy.NotExecuted && s.ask.Last != proxy.ModelDenied && s.ask.Last != proxy.Unreachable
}

// preference says whether keys like those tried are to be avoided, and whether others are no choice at all.
func (s *search) preference() (avoid, only bool) {
	if len(s.ask.Tried) == 0 {
		return false, false
	}
	switch s.ask.Last.Row().Another {
	case proxy.OtherAccount:
		return true, false
	case proxy.OtherAccounts:
		return true, true
	default:
		return s.ask.Last == proxy.Unreachable, false
	}
}

// chooseWell finds a key that is well, if possible one that is not close to a rate limit.
func (s *search) chooseWell(avoid bool) *key {
	s.slowed = false
	if k := s.choose(usable, avoid); k != nil || !s.slowed {
		return k
	}
	return s.choose(slowed, avoid)
}

// choose finds a key of at least the grade.
func (s *search) choose(least grade, avoid bool) *key {
	switch s.view.strategy {
	case leastBusy:
		return s.chooseIdle(least, avoid)
	case byQuota:
		if w := s.pool.leftover(s.now); w.total > 0 {
			return s.step(w, rand.Int64N(w.total), least, avoid)
		}
	}
	return s.step(&s.pool.weights, s.position, least, avoid)
}

const (
	// exactUpTo is the largest pool in which unusable keys are always stepped over in the exact way.
	exactUpTo = 128
	// guesses are made in larger ones before.
	guesses = 8
)

// step takes the key at the position, or steps over it so that its share is spread over the usable keys by their weight:
// the n-th visit of an unusable key goes to the n-th slot of the usable ones. That takes two walks over the pool, so in a
// large one, where most neighbours are usable, a few other positions are tried first.
func (s *search) step(w *weights, position int64, least grade, avoid bool) *key {
	i, visit := w.at(position)
	if k := s.pool.keys[i]; w.of(i) > 0 && s.fits(k, least, avoid) {
		return k
	}
	if len(s.pool.keys) > exactUpTo {
		for n := range int64(guesses) {
			slot := int64(mix(uint64(position), uint64(n)) % uint64(w.total))
			if k := s.pool.keys[w.find(slot)]; s.fits(k, least, avoid) {
				return k
			}
		}
	}
	return s.stepExactly(w, visit, least, avoid)
}

func (s *search) stepExactly(w *weights, visit int64, least grade, avoid bool) *key {
	var total int64
	for i, k := range s.pool.keys {
		if s.fits(k, least, avoid) {
			total += w.of(i)
		}
	}
	if total == 0 {
		return nil
	}
	n, last := visit%total, (*key)(nil)
	for i, k := range s.pool.keys {
		if !s.fits(k, least, avoid) {
			continue
		}
		if n -= w.of(i); n < 0 {
			return k
		}
		last = k
	}
	return last // a key began to rest between the two walks
}

// mix is splitmix64: a position and a try become a random number that is the same on every replica.
func mix(position, try uint64) uint64 {
	z := position*0x9e3779b97f4a7c15 + try*0xbf58476d1ce4e5b9 + 0x94d049bb133111eb
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z>>1 ^ z>>32
}

// chooseIdle is the less busy of two random keys (the power of two choices).
func (s *search) chooseIdle(least grade, avoid bool) *key {
	one := s.step(&s.pool.weights, rand.Int64N(s.pool.weights.total<<20), least, avoid)
	if one == nil {
		return nil
	}
	two := s.step(&s.pool.weights, rand.Int64N(s.pool.weights.total<<20), least, avoid)
	if two == nil || two.inFlight.value() > one.inFlight.value() {
		return one
	}
	return two
}

// fits reports whether a key is of the grade and not one that this request had already.
func (s *search) fits(k *key, least grade, avoid bool) bool {
	if s.ask.Account != "" && k.Account != s.ask.Account {
		return false
	}
	for _, r := range s.refused {
		if r == k {
			return false
		}
	}
	for _, t := range s.ask.Tried {
		if t == k.Key || avoid && s.alike(t, k) {
			return false
		}
	}
	if k.off.Load() && len(s.ask.Tried) > 0 {
		return false // the first try belongs to the configuration that let the request in, whatever came since
	}
	if s.ask.Need.Unpriced && k.limitsMoney() {
		return false
	}
	if s.pool.sole {
		return true
	}
	g := k.grade(s.ask.Model, s.now)
	if g >= max(least, slowed) && s.passes(k) {
		return false
	}
	s.slowed = s.slowed || g == slowed
	return g >= least
}

// alike reports whether a second try with k would share the fate of the one with t.
func (s *search) alike(t *proxy.Key, k *key) bool {
	if s.ask.Last == proxy.Unreachable {
		return t.Endpoint == k.Endpoint
	}
	return t.Account == k.Account
}

// grade says how usable the key is for a model at a time (unix ns).
func (k *key) grade(model string, now int64) grade {
	if !k.rest.ready(now) || !k.account.rest.ready(now) {
		return unusable
	}
	if k.shut(now) {
		return unusable
	}
	g := usable
	if k.account.pace.slowed.resting(model, now) {
		g = slowed
	}
	if k.account.models.any() {
		switch reason, resting := k.account.models.at(model, now); {
		case resting && reason == proxy.Denied:
			g = soft
		case resting:
			return unusable
		}
	}
	if k.endpoint.resting(model, now) {
		g = soft
	}
	return g
}

// leftover is the weights of a pool by what is left of the keys' quotas, some time ago.
type leftover struct {
	weights
	read int64 // unix ns
}

// leftoverAge is how old it may get.
const leftoverAge = 250 * time.Millisecond

// leftover weighs each key by the requests left of its quota; one without a quota counts as the mean of the others.
func (p *pool) leftover(now int64) *weights {
	if l := p.left.Load(); l != nil && now-l.read < int64(leftoverAge) {
		return &l.weights
	}
	all := make([]int64, len(p.keys))
	var sum, with int64
	for i, k := range p.keys {
		if left, limited := k.requestsLeft(); limited {
			all[i] = left
			sum += left
			with++
		} else {
			all[i] = -1
		}
	}
	for i := range all {
		if all[i] < 0 {
			all[i] = 1
			if with > 0 {
				all[i] = max(sum/with, 1)
			}
		}
	}
	l := &leftover{weights: plainWeights(all), read: now}
	p.left.Store(l)
	return &l.weights
}

// plainWeights are for random slots: without a common divisor, without a stride.
func plainWeights(all []int64) weights {
	w := weights{ends: make([]int64, len(all)), stride: 1}
	for i, n := range all {
		w.total += n
		w.ends[i] = w.total
	}
	return w
}
