package balancer

import (
	"sync"
	"sync/atomic"
	"time"

	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
)

// known is what was learned of keys, accounts and endpoints. Configurations come and go; this stays.
type known struct {
	mu sync.RWMutex // guards the maps, not what is in them
	knowledge
}

// knowledge is by id.
type knowledge struct {
	vitals    map[string]*vitals
	accounts  map[string]*account
	endpoints map[string]*endpoint
}

// vitals is how a key is.
type vitals struct {
	secret   proxy.Secret // of which all this is known
	rest     resting      // open, invalid
	breaker  *breaker
	inFlight counter
	off      atomic.Bool  // disabled or gone
	used     atomic.Int64 // unix ns of the last answer that proved it well
	asked    atomic.Int64 // unix ns of when it was looked after last
	since    int64        // unix ns from which on it is known
}

// account is what keys of one account share.
type account struct {
	id     string
	rest   resting // exhausted
	models restsByModel
	pace   paces
	share  atomic.Pointer[share] // nil: it has no limits
}

// counter is a number that many goroutines change.
type counter struct{ n atomic.Int64 }

func (c *counter) add(n int64)  { c.n.Add(n) }
func (c *counter) value() int64 { return c.n.Load() }

func nothing() knowledge {
	return knowledge{map[string]*vitals{}, map[string]*account{}, map[string]*endpoint{}}
}

// adopted are the keys of a configuration of which nothing was known, or no longer enough.
type adopted struct {
	keys     []*key                 // also those whose limits changed
	subjects map[state.Subject]bool // they, their accounts and their endpoints, as far as those are new
	rekeyed  []state.Subject        // keys that have another secret than before
}

// adoptLocked gives each key of the view what is known of it, and forgets what the view does not name.
func (k *known) adoptLocked(v *View) adopted {
	fresh := adopted{subjects: map[state.Subject]bool{}}
	before := k.knowledge
	k.knowledge = nothing()
	for _, key := range v.keys {
		key.account = k.accountLocked(key.Account, &before, &fresh)
		key.endpoint = k.endpointLocked(key.Endpoint, &before, &fresh)
		key.vitals = before.vitals[key.ID]
		var limited bool
		key.share, limited = v.b.lender.set("k:"+key.ID, &key.Limits)
		if key.vitals == nil || key.vitals.secret != key.Secret {
			if key.vitals != nil {
				key.vitals.off.Store(true)
				fresh.rekeyed = append(fresh.rekeyed, key.subject())
			} else {
				fresh.subjects[key.subject()] = true
			}
			key.vitals = &vitals{secret: key.Secret, since: time.Now().UnixNano(), breaker: newBreaker(v.b.policy)}
			fresh.keys = append(fresh.keys, key)
		} else if limited {
			fresh.keys = append(fresh.keys, key)
		}
		key.off.Store(!key.Enabled)
		k.vitals[key.ID] = key.vitals
	}
	for id, gone := range before.vitals {
		if k.vitals[id] == nil {
			gone.off.Store(true)
		}
	}
	return fresh
}

func (k *knowledge) accountLocked(id string, before *knowledge, fresh *adopted) *account {
	a := k.accounts[id]
	if a == nil {
		if a = before.accounts[id]; a == nil {
			a = &account{id: id}
			fresh.subjects[a.subject()] = true
		}
		k.accounts[id] = a
	}
	return a
}

func (k *knowledge) endpointLocked(id string, before *knowledge, fresh *adopted) *endpoint {
	e := k.endpoints[id]
	if e == nil {
		if e = before.endpoints[id]; e == nil {
			e = &endpoint{id: id}
			fresh.subjects[state.Subject{Scope: proxy.ByEndpoint, ID: id}] = true
		}
		k.endpoints[id] = e
	}
	return e
}

// key is how a key is; nil when it is not configured.
func (k *known) key(id string) *vitals {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.vitals[id]
}

func (k *known) account(id string) *account {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.accounts[id]
}

func (k *known) endpoint(id string) *endpoint {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.endpoints[id]
}

// all lists what is known.
func (k *known) all() (keys []*vitals, accounts []*account, endpoints []*endpoint) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	for _, v := range k.vitals {
		keys = append(keys, v)
	}
	for _, a := range k.accounts {
		accounts = append(accounts, a)
	}
	for _, e := range k.endpoints {
		endpoints = append(endpoints, e)
	}
	return keys, accounts, endpoints
}
