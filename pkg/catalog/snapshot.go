package catalog

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"slices"
	"time"

	"openai-api-proxy/pkg/config"
	"openai-api-proxy/pkg/proxy"
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

	leftOut int // keys that another one has the id or the secret of
	holders holders
	tokens  func() map[hash]string // who holds which token, operators too; made when it is asked for first
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
func (s *Snapshot) Holder(h [sha256.Size]byte) string {
	if id := s.tokens()[h]; id != "" {
		return id
	}
	return s.holders.of(h)
}
