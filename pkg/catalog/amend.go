package catalog

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"sync"

	"openai-api-proxy/pkg/state"
)

// amendLocked is the latest snapshot with what changed since. before holds each item that changed, as that snapshot has it.
// With very many keys one change costs hardly more than the copy of a list. A nil snapshot means that all has to be put
// together anew: two keys have one id or one secret, or had, and which of them stays is decided there alone.
func (c *Catalog) amendLocked(before map[name]*entry) (*Snapshot, error) {
	latest := c.current.Load()
	s := *latest
	s.Version = c.version
	keys, clients, overrides := map[string]*Key{}, map[string]*Client{}, maps.Clone(latest.Overrides)
	for n, was := range before {
		now := c.items[n]
		s.Unreadable += now.unreadable() - was.unreadable()
		switch kind, id := n.subject(); {
		case kind == state.KeyItem:
			if keys[id] = c.keyLocked(latest, id); n.kind == state.KeyItem && keys[id] != nil && rank(keys[id].Source) == 0 {
				return nil, nil
			}
		case kind == state.ClientItem:
			clients[id] = c.clientLocked(id)
		case kind == state.SettingItem && now == nil:
			delete(overrides, id)
		case kind == state.SettingItem && n != authItem:
			overrides[id] = json.RawMessage(now.Value)
		}
	}
	if len(keys) > 0 {
		held, apart := latest.holders.but(latest, keys)
		if !apart || latest.leftOut > 0 {
			return nil, nil
		}
		s.holders, s.Keys = held, replaced(latest.Keys, keys, func(k *Key) string { return k.ID })
		if len(held.since) > mostSince {
			s.holders = holdersOf(s.Keys)
		}
	}
	if len(clients) > 0 {
		s.Clients = replaced(latest.Clients, clients, func(c *Client) string { return c.ID })
		s.tokens = sync.OnceValue(s.tokenHolders)
	}
	s.Overrides = overrides
	return &s, c.settleLocked(&s)
}

// subject is the kind and the id of what an item says something of.
func (n name) subject() (kind, id string) {
	if n.kind != state.OverrideItem {
		return n.kind, n.id
	}
	kind, id, _ = strings.Cut(n.id, ":")
	return kind, id
}

// keyLocked is the key of an id as it is now; nil: there is none.
func (c *Catalog) keyLocked(latest *Snapshot, id string) *Key {
	if held, found := latest.Key(id); found && rank(held.Source) == 0 {
		for _, k := range latest.Base.Keys {
			if k.ID == id {
				held = c.overriddenKeyLocked(k)
			}
		}
		return &held
	}
	e := c.items[name{state.KeyItem, id}]
	if e == nil || e.key == nil {
		return nil
	}
	k := runtimeKey(e, latest.Base.BaseURL)
	return &k
}

// clientLocked is the client of an id as it is now; nil: there is none.
func (c *Catalog) clientLocked(id string) *Client {
	for i := range c.base.Clients {
		if c.base.Clients[i].ID == id {
			is := c.overriddenClientLocked(&c.base.Clients[i])
			return &is
		}
	}
	e := c.items[name{state.ClientItem, id}]
	if e == nil || e.client == nil {
		return nil
	}
	is := runtimeClient(e)
	return &is
}

// replaced is a copy of a list that is sorted by id, with others in the place of those of the same ids; nil: there is none.
func replaced[T any](all []T, changed map[string]*T, id func(*T) string) []T {
	other := make([]T, 0, len(all)+len(changed))
	for _, at := range slices.Sorted(maps.Keys(changed)) {
		i, found := slices.BinarySearchFunc(all, at, func(item T, at string) int { return strings.Compare(id(&item), at) })
		other = append(other, all[:i]...)
		if now := changed[at]; now != nil {
			other = append(other, *now)
		}
		if found {
			i++
		}
		all = all[i:]
	}
	return append(other, all...)
}
