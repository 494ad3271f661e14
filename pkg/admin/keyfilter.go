package admin

import (
	"slices"
	"strings"

	"openai-api-proxy/pkg/balancer"
	"openai-api-proxy/pkg/proxy"
)

// keyStates are all states that a key may be in.
var keyStates = []string{balancer.Active, balancer.HalfOpen, balancer.Disabled, string(proxy.Cooling), string(proxy.Exhausted),
	string(proxy.Invalid), string(proxy.Open), string(proxy.Denied), string(proxy.Busy), string(proxy.Limited)}

// sources are where keys and clients may be configured.
var sources = []string{"file", "environment", "api"}

// keyFilter says which keys are wanted; what is empty lets all through.
type keyFilter struct {
	states, sources                []string
	account, tag, pool, model, has string
}

func readKeyFilter(q *query) keyFilter {
	return keyFilter{states: q.words("state", keyStates...), sources: q.words("source", sources...), account: q.text("account"),
		tag: q.text("tag"), pool: q.text("pool"), model: q.text("model"), has: strings.ToLower(q.text("q"))}
}

func (f *keyFilter) match(row *keyRow) bool {
	k := row.Key.Key
	return (f.states == nil || slices.Contains(f.states, row.now.State)) &&
		(f.sources == nil || slices.Contains(f.sources, k.Source)) &&
		(f.account == "" || f.account == k.Account) &&
		(f.tag == "" || slices.Contains(k.Tags, f.tag)) &&
		(f.pool == "" || f.pool == k.Pool) &&
		(f.model == "" || k.Serves(f.model)) &&
		(f.has == "" || f.found(k))
}

// found looks for the text in what operators know a key by.
func (f *keyFilter) found(k *proxy.Key) bool {
	return has(k.ID, f.has) || has(k.Account, f.has) || has(k.Note, f.has) || has(k.Secret.Masked(), f.has) ||
		slices.ContainsFunc(k.Tags, func(tag string) bool { return has(tag, f.has) })
}

// has reports whether a text holds another one, which is in lower case.
func has(text, part string) bool {
	return len(text) >= len(part) && strings.Contains(strings.ToLower(text), part)
}

// keyOrders are what keys can be sorted by.
var keyOrders = []string{"id", "state", "account", "weight", "requests", "failures", "created"}

// keyPlaces say where a key stands in each order.
var keyPlaces = map[string]func(used) func(*keyRow) place{
	"id": func(used) func(*keyRow) place { return func(r *keyRow) place { return place{ID: r.ID} } },
	"state": func(used) func(*keyRow) place {
		return func(r *keyRow) place { return place{Text: r.now.State, ID: r.ID} }
	},
	"account": func(used) func(*keyRow) place {
		return func(r *keyRow) place { return place{Text: r.Account, ID: r.ID} }
	},
	"weight": func(used) func(*keyRow) place {
		return func(r *keyRow) place { return place{Number: r.Weight, ID: r.ID} }
	},
	"created": func(used) func(*keyRow) place {
		return func(r *keyRow) place { return place{Number: r.Created.Unix(), ID: r.ID} }
	},
	"requests": func(u used) func(*keyRow) place {
		return func(r *keyRow) place {
			requests, _ := u.amounts(u.keys, r.ID)
			return place{Number: requests, ID: r.ID}
		}
	},
	"failures": func(u used) func(*keyRow) place {
		return func(r *keyRow) place {
			_, failures := u.amounts(u.keys, r.ID)
			return place{Number: failures, ID: r.ID}
		}
	},
}
