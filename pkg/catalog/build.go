package catalog

import (
	"cmp"
	"encoding/json"
	"slices"
	"sync"

	"openai-api-proxy/pkg/config"
	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
)

// buildLocked puts file, environment and items together. The error says why what was overridden does not go with the
// file; the snapshot then leaves those overrides out. It takes a while when there is very much; see amendLocked.
func (c *Catalog) buildLocked(base *config.Config) (*Snapshot, error) {
	s := &Snapshot{Version: c.version, Base: base, Overrides: map[string]json.RawMessage{}}
	keys := make([]Key, 0, len(base.Keys)+len(c.items))
	for _, k := range base.Keys {
		keys = append(keys, c.overriddenKeyLocked(k))
	}
	for i := range base.Clients {
		s.Clients = append(s.Clients, c.overriddenClientLocked(&base.Clients[i]))
	}
	for n, e := range c.items {
		s.Unreadable += e.unreadable()
		switch {
		case e.key != nil:
			keys = append(keys, runtimeKey(e, base.BaseURL))
		case e.client != nil:
			s.Clients = append(s.Clients, runtimeClient(e))
		case n.kind == state.SettingItem && n != authItem:
			s.Overrides[n.id] = json.RawMessage(e.Value)
		}
	}
	s.Keys = c.unique(keys)
	s.leftOut = len(keys) - len(s.Keys)
	s.holders = holdersOf(s.Keys)
	s.Clients = c.uniqueClients(s.Clients)
	s.tokens = sync.OnceValue(s.tokenHolders)
	return s, c.settleLocked(s)
}

// settleLocked finds out what follows from the rest of a snapshot.
func (c *Catalog) settleLocked(s *Snapshot) error {
	s.Permanent = c.items[authItem] != nil
	s.ByKeys = len(s.Clients) == 0 && !s.Permanent
	settings, err := s.Base.Settings.Override(s.Overrides)
	if err != nil {
		settings = s.Base.Settings
	}
	s.Settings = settings
	return err
}

func (c *Catalog) overriddenKeyLocked(k *proxy.Key) Key {
	e := c.items[name{state.OverrideItem, overrideID(state.KeyItem, k.ID)}]
	if e == nil || e.override == nil || e.override.Enabled == nil {
		return Key{Key: k}
	}
	changed := *k
	changed.Enabled = *e.override.Enabled
	return Key{Key: &changed, Revision: e.Revision, Overridden: true}
}

func (c *Catalog) overriddenClientLocked(client *config.Client) Client {
	token := Token{Hash: client.Token.Hash(), Masked: client.Token.Masked(), Secret: client.Token}
	is := Client{Client: &client.Client, Tokens: []Token{token}, Source: client.Source}
	e := c.items[name{state.OverrideItem, overrideID(state.ClientItem, client.ID)}]
	if e != nil && e.override != nil && e.override.Enabled != nil {
		changed := client.Client
		changed.Enabled = *e.override.Enabled
		is.Client, is.Revision, is.Overridden = &changed, e.Revision, true
	}
	return is
}

// overrideID names the override of a key or client; their ids have no colon.
func overrideID(kind, id string) string { return kind + ":" + id }

// at is the key with the endpoint of those that name none. It stays the same pointer while that does.
func (r *keyRecord) at(endpoint string) *proxy.Key {
	if r.key.Endpoint == "" && (r.placed == nil || r.placed.Endpoint != endpoint) {
		placed := *r.key
		placed.Endpoint = endpoint
		r.placed = &placed
	}
	if r.placed != nil {
		return r.placed
	}
	return r.key
}

func runtimeKey(e *entry, endpoint string) Key {
	k := e.key.at(endpoint)
	return Key{Key: k, Revision: e.Revision, Created: e.key.Created, Updated: e.key.Updated}
}

func runtimeClient(e *entry) Client {
	r := e.client
	is := Client{Client: &r.client.Client, Source: config.SourceRuntime, Revision: e.Revision, Created: r.Created, Updated: r.Updated}
	for _, record := range r.Tokens {
		if token, ok := record.token(); ok {
			is.Tokens = append(is.Tokens, token)
		}
	}
	return is
}

// unique sorts the keys and leaves out those whose id or secret another one has: what is configured in file or environment
// stays, of two others the one with the smaller id. It sorts where they are rather than the keys themselves: there may be
// very many.
func (c *Catalog) unique(keys []Key) []Key {
	order := make([]*Key, len(keys))
	for i := range keys {
		order[i] = &keys[i]
	}
	slices.SortFunc(order, func(a, b *Key) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(rank(a.Source), rank(b.Source)))
	})
	holders := make(map[proxy.Secret]string, len(keys)) // those of file and environment first
	for r := range 2 {
		for _, k := range order {
			if _, held := holders[k.Secret]; !held && rank(k.Source) == r {
				holders[k.Secret] = k.ID
			}
		}
	}
	kept := make([]Key, 0, len(keys))
	for _, k := range order {
		if holders[k.Secret] != k.ID || len(kept) > 0 && kept[len(kept)-1].ID == k.ID {
			c.Log.Debug("a key is configured twice; the one added at run time is left out", "id", k.ID, "source", k.Source)
			continue
		}
		kept = append(kept, *k)
	}
	return kept
}

func (c *Catalog) uniqueClients(clients []Client) []Client {
	ids := make(map[string]bool, len(clients))
	slices.SortFunc(clients, func(a, b Client) int {
		return cmp.Or(cmp.Compare(rank(a.Source), rank(b.Source)), cmp.Compare(a.ID, b.ID))
	})
	kept := clients[:0]
	for _, client := range clients {
		if ids[client.ID] {
			c.Log.Debug("a client is configured twice; the one added at run time is left out", "id", client.ID)
			continue
		}
		ids[client.ID] = true
		kept = append(kept, client)
	}
	slices.SortFunc(kept, func(a, b Client) int { return cmp.Compare(a.ID, b.ID) })
	return kept
}

func rank(source string) int {
	if source == config.SourceRuntime {
		return 1
	}
	return 0
}
