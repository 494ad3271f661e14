package catalog

import (
	"crypto/sha256"
	"maps"
	"sync"

	"openai-api-proxy/pkg/proxy"
)

// hash is SHA-256 of a secret.
type hash = [sha256.Size]byte

// holders names the key that has a secret. It never changes: one that differs in a few keys shares the rest.
type holders struct {
	all   func() map[hash]string // of an earlier snapshot; made when it is asked for first
	since map[hash]string        // what changed from then on; empty: nobody has it any more
}

// mostSince is how many changes are carried along before all is made anew.
const mostSince = 1000

func holdersOf(keys []Key) holders {
	return holders{all: sync.OnceValue(func() map[hash]string {
		all := make(map[hash]string, len(keys))
		for i := range keys {
			all[keys[i].Secret.Hash()] = keys[i].ID
		}
		return all
	})}
}

func (h holders) of(secret hash) string {
	if id, changed := h.since[secret]; changed {
		return id
	}
	return h.all()[secret]
}

// but is who holds what after the keys changed; nil: the key is gone. It is false when two would have one secret.
func (h holders) but(before *Snapshot, changed map[string]*Key) (holders, bool) {
	since := maps.Clone(h.since)
	if since == nil {
		since = map[hash]string{}
	}
	now := holders{h.all, since}
	for id, k := range changed {
		if was, found := before.Key(id); found && (k == nil || k.Secret != was.Secret) {
			since[was.Secret.Hash()] = ""
		}
	}
	for id, k := range changed {
		if k == nil {
			continue
		}
		secret := k.Secret.Hash()
		if holder := now.of(secret); holder != "" && holder != id {
			return holders{}, false
		}
		since[secret] = id
	}
	return now, true
}

// tokenHolders names who holds which token. Those of clients are hashes already.
func (s *Snapshot) tokenHolders() map[hash]string {
	all := make(map[hash]string, len(s.Clients))
	for i := range s.Clients {
		for _, t := range s.Clients[i].Tokens {
			all[t.Hash] = s.Clients[i].ID
		}
	}
	for _, operator := range [2]proxy.Secret{s.Base.AdminToken, s.Base.MetricsToken} {
		if !operator.IsZero() {
			all[operator.Hash()] = "an operator"
		}
	}
	return all
}
