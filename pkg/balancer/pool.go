package balancer

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"sort"
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

// pools finds the pool of a model. Pools of the same keys are one.
type pools struct {
	mu     sync.RWMutex // guards all below
	byUse  map[served]*pool
	byID   map[string]*pool
	before map[string]*track // of the configuration before, by the ids of its pools
}

func (ps *pools) of(v *View, use served) *pool {
	ps.mu.RLock()
	p := ps.byUse[use]
	ps.mu.RUnlock()
	if p != nil && (p.expires.IsZero() || time.Now().Before(p.expires)) {
		return p
	}
	fresh := newPool(v, use)
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if known := ps.byID[fresh.id]; known != nil && known.expires.Equal(fresh.expires) {
		fresh = known
	} else if known != nil {
		fresh.track = known.track
	} else if fresh.track = ps.before[fresh.id]; fresh.track == nil {
		fresh.track = new(track)
	}
	if ps.byUse == nil || len(ps.byUse) >= mostModels {
		ps.before = ps.tracksLocked()
		ps.byUse, ps.byID = map[served]*pool{}, map[string]*pool{}
	}
	ps.byUse[use], ps.byID[fresh.id] = fresh, fresh
	return fresh
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
	p, now := new(pool), time.Now()
	for _, k := range v.keys {
		if !k.Enabled || k.Pool != use.pool || !k.Serves(use.model) || !k.Expires.IsZero() && !now.Before(k.Expires) {
			continue
		}
		p.keys = append(p.keys, k)
		if !k.Expires.IsZero() && (p.expires.IsZero() || k.Expires.Before(p.expires)) {
			p.expires = k.Expires
		}
	}
	p.sole = len(p.keys) == 1
	all := make([]int64, len(p.keys))
	sum := sha256.New()
	fmt.Fprintln(sum, v.strategy.weighs())
	for i, k := range p.keys {
		all[i] = 1
		if v.strategy.weighs() {
			all[i] = max(k.Weight, 1)
		}
		fmt.Fprintln(sum, k.ID, all[i])
	}
	p.weights = newWeights(all)
	p.id = hex.EncodeToString(sum.Sum(nil)[:12])
	return p
}

// weights maps slots of a cycle to keys.
type weights struct {
	ends   []int64 // ends[i] is the first slot behind those of key i
	total  int64
	stride int64
}

func newWeights(all []int64) weights {
	var w weights
	var common int64
	for _, n := range all {
		common = gcd(common, n)
	}
	w.ends = make([]int64, len(all))
	for i, n := range all {
		w.total += n / max(common, 1)
		w.ends[i] = w.total
	}
	w.stride = goldenStride(w.total)
	return w
}

// at is the key at a position, which visit of that key it is, counted from the first position of the cursor.
func (w *weights) at(position int64) (i int, visit int64) {
	cycle, slot := position/w.total, position%w.total
	if w.total > int64(len(w.ends)) { // with equal weights the order of the keys is smooth as it is
		slot = mulMod(slot, w.stride, w.total)
	}
	i = w.find(slot)
	first := int64(0)
	if i > 0 {
		first = w.ends[i-1]
	}
	return i, cycle*(w.ends[i]-first) + slot - first
}

// find is the key that a slot belongs to.
func (w *weights) find(slot int64) int {
	return sort.Search(len(w.ends), func(i int) bool { return w.ends[i] > slot })
}

// of is the weight of a key.
func (w *weights) of(i int) int64 {
	if i == 0 {
		return w.ends[0]
	}
	return w.ends[i] - w.ends[i-1]
}

// goldenStride is the number nearest to total/phi that is coprime to total.
func goldenStride(total int64) int64 {
	want := int64(float64(total) * 0.6180339887498949)
	for d := int64(0); d < total; d++ {
		for _, s := range [2]int64{want + d, want - d} {
			if s > 0 && s < total && gcd(s, total) == 1 {
				return s
			}
		}
	}
	return 1
}

// mulMod needs no more than 64 bits: a pool has at most 10 million slots.
func mulMod(a, b, m int64) int64 { return a * b % m }

func gcd(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
