package balancer

import (
	"slices"
	"strings"

	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
)

// View is the pool as one configuration has it. It never changes, and a request that began with it ends with it. What is
// known of keys, accounts and endpoints is shared by all views.
type View struct {
	Pool
	b        *Balancer
	strategy strategy
	keys     []*key // sorted by id
	metered  bool   // a key or an account limits tokens or money
	kinds    kinds
	pools    pools
}

// key is a configured key with what is known of it.
type key struct {
	*proxy.Key
	*vitals
	kind     *kind
	account  *account
	endpoint *endpoint
	share    *share // nil: it has no limits
}

// Configure puts another configuration in the place of the one before. What is known of keys, accounts and endpoints that
// stay is kept, and so are positions; a key whose secret changed begins anew. Keys that are gone, or disabled, are not
// picked any more even by requests that began before; what is under way with them goes on.
func (b *Balancer) Configure(p Pool) *View {
	b.known.mu.Lock()
	before := b.view.Load()
	v, came, gone := newView(b, p, before)
	b.rules.Store(&v.Policy)
	fresh := b.known.adoptChangedLocked(v, came, gone)
	b.limitLocked(v, before, gone)
	b.view.Store(v)
	b.known.mu.Unlock()
	v.pools.prepare(v, before)
	for _, s := range fresh.rekeyed {
		b.outbox.wake(s)
	}
	if len(fresh.keys) > 0 {
		b.synced.applyTo(b, fresh.subjects)
		if b.restored.Load() && b.ctx.Err() == nil {
			b.tasks.Go(func() { b.learn(fresh) })
		}
	}
	return v
}

// newView makes a view. Keys that are as they were before are the same ones, with what is known of them; those that came
// know nothing yet.
func newView(b *Balancer, p Pool, before *View) (v *View, came, gone []*key) {
	v = &View{Pool: p, b: b, strategy: strategy(p.Strategy), keys: make([]*key, 0, len(p.Keys))}
	var old []*key
	if before != nil {
		v.pools.before, old = before.pools.tracks(), before.keys
	}
	configured := p.Keys
	if !slices.IsSortedFunc(configured, byID) {
		configured = slices.SortedFunc(slices.Values(configured), byID)
	}
	for _, k := range configured {
		for len(old) > 0 && old[0].Key != k && old[0].ID <= k.ID {
			gone, old = append(gone, old[0]), old[1:]
		}
		if len(old) > 0 && old[0].Key == k {
			v.keys, old = append(v.keys, old[0]), old[1:]
			continue
		}
		came = append(came, &key{Key: k})
		v.keys = append(v.keys, came[len(came)-1])
	}
	v.metered = slices.ContainsFunc(v.keys, func(k *key) bool { return k.Metered() }) ||
		slices.ContainsFunc(p.Accounts, func(a proxy.Account) bool { return a.Metered() })
	var known kinds
	if before != nil {
		known = before.kinds
	}
	v.kinds = known.assign(v.keys, came)
	return v, came, append(gone, old...)
}

func byID(a, b *proxy.Key) int { return strings.Compare(a.ID, b.ID) }

// learn finds out what the state knows of keys that were added while the proxy runs. Where replicas share the state they
// hear of its rests anyway; a single instance has to ask.
func (b *Balancer) learn(fresh adopted) {
	if rests, err := b.Store.Rests(b.ctx); err == nil {
		for _, r := range rests {
			if fresh.subjects[whole(r.Subject)] {
				b.apply(r)
			}
		}
	}
	if err := b.readQuotas(b.ctx, fresh.keys); err != nil {
		b.metrics.undecided.WithLabelValues("key quota").Inc()
	}
}

// whole is the account or endpoint of which a subject is one model, or else the subject itself.
func whole(s state.Subject) state.Subject {
	switch s.Scope {
	case proxy.ByModel, proxy.ByPace:
		return state.Subject{Scope: proxy.ByAccount, ID: s.ID}
	case proxy.ByEndpointMdl:
		return state.Subject{Scope: proxy.ByEndpoint, ID: s.ID}
	default:
		return s
	}
}

// find is a key by its id; nil when it is not configured.
func (v *View) find(id string) *key {
	i, found := slices.BinarySearchFunc(v.keys, id, func(k *key, id string) int { return strings.Compare(k.ID, id) })
	if !found {
		return nil
	}
	return v.keys[i]
}
