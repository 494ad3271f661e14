package balancer

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// pool is the keys that serve a model, whether they rest or not.
type pool struct {
	id      string // names the cursor: equal for equal keys and weights, on every replica
	keys    []*key
	weights weights
	sole    bool // one key only, which never rests
	left    atomic.Pointer[leftover]
	expires time.Time // when the first key of it expires; zero: never
	first   served    // what it was made for; others may share it
	*track
}

// track is where a pool stands. It goes on when a later configuration has the same pool.
type track struct {
	cursor  cursor
	retries atomic.Int64 // position of second tries, which leave the cursor alone
	local   atomic.Int64 // position while the state is away
}

// served is what a pool is for: a model, for the clients of a named pool.
type served struct{ pool, model string }

// mostModels bounds the models whose pool is remembered: their names come from callers.
const mostModels = 1024

// pools finds the pool of a model. Models that the same kinds of keys serve share one, so that it is made once however many
// they are, and pools of the same keys are one. Only what makes a pool looks at every key.
type pools struct {
	making sync.Mutex   // held while a pool is made, so that many who wait for the same one make it once
	mu     sync.RWMutex // guards all below
	byUse  map[served]*pool
	byKind map[string]*pool // by the kinds of keys that are in it
	byID   map[string]*pool
	before map[string]*track // of the configuration before, by the ids of its pools
}

func (ps *pools) of(v *View, use served) *pool {
	if p := ps.known(use); p != nil {
		return p
	}
	serving := v.kinds.serving(use)
	ps.making.Lock()
	defer ps.making.Unlock()
	ps.mu.RLock()
	p := ps.byKind[serving]
	ps.mu.RUnlock()
	if p == nil || p.over() {
		p = newPool(v, use)
	}
	ps.mu.Lock()
	defer ps.mu.Unlock()
	p = ps.sameLocked(p)
	if ps.byUse == nil || len(ps.byUse) >= mostModels {
		ps.before = ps.tracksLocked()
		ps.byUse, ps.byKind, ps.byID = map[served]*pool{}, map[string]*pool{}, map[string]*pool{}
	}
	ps.byUse[use], ps.byKind[serving], ps.byID[p.id] = p, p, p
	return p
}

// known is the pool that was found before; nil when there was none or a key of it expired since.
func (ps *pools) known(use served) *pool {
	ps.mu.RLock()
	p := ps.byUse[use]
	ps.mu.RUnlock()
	if p == nil || p.over() {
		return nil
	}
	return p
}

// sameLocked is the pool, or the one of the same keys that is known; it stands where that one stood.
func (ps *pools) sameLocked(fresh *pool) *pool {
	switch known := ps.byID[fresh.id]; {
	case known != nil && known.expires.Equal(fresh.expires):
		return known
	case known != nil:
		fresh.track = known.track
	case ps.before[fresh.id] != nil:
		fresh.track = ps.before[fresh.id]
	default:
		fresh.track = new(track)
	}
	return fresh
}

// mostPrepared bounds the keys that prepare looks at, a fraction of a second's work.
const mostPrepared = 2_000_000

// prepare makes the pools that the configuration before had, so that no request has to wait for them.
func (ps *pools) prepare(v, before *View) {
	before.pools.mu.RLock()
	uses := make([]served, 0, len(before.pools.byID))
	for _, p := range before.pools.byID {
		uses = append(uses, p.first)
	}
	before.pools.mu.RUnlock()
	each := len(v.keys) + len(v.kinds)
	for i, use := range uses {
		if i*each > mostPrepared {
			return
		}
		ps.of(v, use)
	}
}

// tracks are those of all pools that are known, those of the configuration before among them unless there are too many.
func (ps *pools) tracks() map[string]*track {
	ps.mu.RLock()
	defer ps.mu.RUnlock()
	return ps.tracksLocked()
}

func (ps *pools) tracksLocked() map[string]*track {
	all := make(map[string]*track, len(ps.byID)+len(ps.before))
	if len(ps.before) < mostModels {
		maps.Copy(all, ps.before)
	}
	for id, p := range ps.byID {
		all[id] = p.track
	}
	return all
}

func newPool(v *View, use served) *pool {
	p, now := &pool{first: use, keys: make([]*key, 0, len(v.keys))}, time.Now()
	fits := v.kinds.fits(use)
	for _, k := range v.keys {
		if !k.Enabled || !fits[k.kind] || !k.Expires.IsZero() && !now.Before(k.Expires) {
			continue
		}
		p.keys = append(p.keys, k)
		if !k.Expires.IsZero() && (p.expires.IsZero() || k.Expires.Before(p.expires)) {
			p.expires = k.Expires
		}
	}
	p.sole = len(p.keys) == 1
	all := make([]int64, len(p.keys))
	for i, k := range p.keys {
		all[i] = 1
		if v.strategy.weighs() {
			all[i] = max(k.Weight, 1)
		}
	}
	p.weights = newWeights(all)
	p.id = poolID(v.strategy.weighs(), p.keys, all)
	return p
}

// poolID is the same for the same keys and weights on every replica, also on those that run another version: it names the
// cursor, and with it a position that outlives both.
func poolID(weighs bool, keys []*key, all []int64) string {
	const full = 4 << 10
	sum, lines := sha256.New(), make([]byte, 0, full+128)
	lines = append(strconv.AppendBool(lines, weighs), '\n')
	for i, k := range keys {
		lines = append(append(lines, k.ID...), ' ')
		lines = append(strconv.AppendInt(lines, all[i], 10), '\n')
		if len(lines) >= full {
			_, _ = sum.Write(lines) // a hash takes everything
			lines = lines[:0]
		}
	}
	_, _ = sum.Write(lines)
	return hex.EncodeToString(sum.Sum(nil)[:12])
}

// over reports whether a key of the pool expired since it was made.
func (p *pool) over() bool { return !p.expires.IsZero() && !time.Now().Before(p.expires) }
