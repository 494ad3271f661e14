package catalog

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"openai-api-proxy/pkg/config"
	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
)

// Snapshot is everything that is configured at one moment. It never changes.
type Snapshot struct {
	Version  int64           // of the run-time items
	Base     *config.Config  // file and environment
	Settings config.Settings // those in force
	// Overrides are the values that operators put in the place of the file's, by the names of config.Setting.
	Overrides map[string]json.RawMessage
	Keys      []Key    // sorted by id
	Clients   []Client // sorted by id
	// ByKeys is set while whoever holds an enabled key may call, the v1 way: as long as there never was a client.
	ByKeys bool
	// Permanent is set once a client was created at run time: the v1 way does not come back with its end.
	Permanent  bool
	Unreadable int // items that are there but cannot be used

	secrets func() map[[sha256.Size]byte]string
}

// Key is an upstream key as it is in force.
type Key struct {
	*proxy.Key
	Revision   int64 // of its item, or of the override; 0: there is none
	Overridden bool  // configured elsewhere, and changed at run time
	Created    time.Time
	Updated    time.Time
}

// Client is a caller as it is in force.
type Client struct {
	*proxy.Client
	Tokens     []Token // the present one first
	Source     string
	Revision   int64
	Overridden bool
	Created    time.Time
	Updated    time.Time
}

// Token is one of the tokens of a client.
type Token struct {
	Hash   [sha256.Size]byte
	Masked string
	Secret proxy.Secret // only of those in file and environment
	Until  time.Time    // zero: for ever
}

// Key finds a key by its id.
func (s *Snapshot) Key(id string) (Key, bool) {
	i, found := slices.BinarySearchFunc(s.Keys, id, func(k Key, id string) int { return cmp.Compare(k.ID, id) })
	if !found {
		return Key{}, false
	}
	return s.Keys[i], true
}

// Client finds a client by its id.
func (s *Snapshot) Client(id string) (Client, bool) {
	i, found := slices.BinarySearchFunc(s.Clients, id, func(c Client, id string) int { return cmp.Compare(c.ID, id) })
	if !found {
		return Client{}, false
	}
	return s.Clients[i], true
}

// Holder is the id of the key or client that has the secret; empty: nobody.
func (s *Snapshot) Holder(hash [sha256.Size]byte) string { return s.secrets()[hash] }

// buildLocked puts file, environment and items together. The error says why what was overridden does not go with the
// file; the snapshot then leaves those overrides out.
func (c *Catalog) buildLocked(base *config.Config) (*Snapshot, error) {
	s := &Snapshot{Version: c.version, Base: base, Settings: base.Settings, Overrides: map[string]json.RawMessage{}}
	s.Keys = c.runtimeKeysLocked(base)
	for _, k := range base.Keys {
		s.Keys = append(s.Keys, c.overriddenKeyLocked(k))
	}
	for i := range base.Clients {
		s.Clients = append(s.Clients, c.overriddenClientLocked(&base.Clients[i]))
	}
	for n, e := range c.items {
		switch {
		case n.kind == state.KeyItem && e.key != nil: // above
		case n.kind == state.ClientItem && e.client != nil:
			s.Clients = append(s.Clients, runtimeClient(e))
		case n == authItem:
			s.Permanent = true
		case n.kind == state.SettingItem:
			s.Overrides[n.id] = json.RawMessage(e.Value)
		case n.kind != state.OverrideItem || e.override == nil:
			s.Unreadable++
		}
	}
	s.Keys = c.unique(s.Keys)
	s.Clients = c.uniqueClients(s.Clients)
	s.ByKeys = len(s.Clients) == 0 && !s.Permanent
	s.secrets = sync.OnceValue(s.index)
	settings, err := base.Settings.Override(s.Overrides)
	if err == nil {
		s.Settings = settings
	}
	return s, err
}

// runtimeKeysLocked are the keys that were added at run time, first those that the latest snapshot has, in its order, so
// that hardly anything is left to sort; and room for the others.
func (c *Catalog) runtimeKeysLocked(base *config.Config) []Key {
	keys := make([]Key, 0, len(base.Keys)+len(c.items))
	c.builds++
	if before := c.current.Load(); before != nil {
		for i := range before.Keys {
			if e := c.items[name{state.KeyItem, before.Keys[i].ID}]; e != nil && e.key != nil {
				e.build = c.builds
				keys = append(keys, runtimeKey(e, base.BaseURL))
			}
		}
	}
	for n, e := range c.items {
		if n.kind == state.KeyItem && e.key != nil && e.build != c.builds {
			keys = append(keys, runtimeKey(e, base.BaseURL))
		}
	}
	return keys
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

// inOrder sorts keys by id, of one id those of file and environment first. Keys that are in order up to a point are merged
// with the rest.
func inOrder(keys []*Key) []*Key {
	compare := func(a, b *Key) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(rank(a.Source), rank(b.Source)))
	}
	n := 1
	for n < len(keys) && compare(keys[n-1], keys[n]) <= 0 {
		n++
	}
	if n >= len(keys) {
		return keys
	}
	first, rest := keys[:n], keys[n:]
	slices.SortFunc(rest, compare)
	merged := make([]*Key, 0, len(keys))
	for len(first) > 0 && len(rest) > 0 {
		if compare(first[0], rest[0]) <= 0 {
			merged, first = append(merged, first[0]), first[1:]
		} else {
			merged, rest = append(merged, rest[0]), rest[1:]
		}
	}
	return append(append(merged, first...), rest...)
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

// index names who holds which secret.
func (s *Snapshot) index() map[[sha256.Size]byte]string {
	all := make(map[[sha256.Size]byte]string, len(s.Keys)+len(s.Clients))
	for _, k := range s.Keys {
		all[k.Secret.Hash()] = k.ID
	}
	for _, c := range s.Clients {
		for _, t := range c.Tokens {
			all[t.Hash] = c.ID
		}
	}
	for _, operator := range [2]proxy.Secret{s.Base.AdminToken, s.Base.MetricsToken} {
		if !operator.IsZero() {
			all[operator.Hash()] = "an operator"
		}
	}
	return all
}
