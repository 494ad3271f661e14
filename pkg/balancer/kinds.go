package balancer

import (
	"strings"

	"openai-api-proxy/pkg/proxy"
)

// kind is what keys have in common that serve the same models for the clients of the same pool. Of many keys there are few
// kinds, so that which of them serve a model is found by looking at those.
type kind struct {
	pool   string
	models proxy.Patterns
}

func (k *kind) serves(use served) bool {
	return k.pool == use.pool && (use.model == "" || k.models.Match(use.model))
}

// kinds are those of all keys of a view.
type kinds []*kind

// assign gives each key that came its kind, the one that it had in the view before if there was one like it, and tells which
// kinds the keys of a view are of.
func (before kinds) assign(keys, came []*key) kinds {
	like := make(map[string]*kind, len(before))
	for _, k := range before {
		like[k.name()] = k
	}
	for _, key := range came {
		fresh := &kind{key.Pool, key.Models}
		name := fresh.name()
		if like[name] == nil {
			like[name] = fresh
		}
		key.kind = like[name]
	}
	var all kinds
	var last *kind
	seen := make(map[*kind]bool, len(like))
	for _, key := range keys {
		if key.kind == last { // neighbours are often of one kind
			continue
		}
		if last = key.kind; !seen[last] {
			seen[last] = true
			all = append(all, last)
		}
	}
	return all
}

// name tells kinds apart. No pool and no pattern holds a zero byte.
func (k *kind) name() string { return k.pool + "\x00" + strings.Join(k.models, "\x00") }

// serving tells sets of kinds apart: equal for uses that the same kinds serve.
func (ks kinds) serving(use served) string {
	set := make([]byte, (len(ks)+7)/8)
	for i, k := range ks {
		if k.serves(use) {
			set[i/8] |= 1 << (i % 8)
		}
	}
	return string(set)
}

// fits are the kinds that serve a use.
func (ks kinds) fits(use served) map[*kind]bool {
	fits := make(map[*kind]bool, len(ks))
	for _, k := range ks {
		if k.serves(use) {
			fits[k] = true
		}
	}
	return fits
}
