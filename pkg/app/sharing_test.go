package app

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"openai-api-proxy/pkg/catalog"
	"openai-api-proxy/pkg/proxy"
)

// A stored object may be somebody else's where two accounts meet in a pool, or two clients at an endpoint, and nowhere else.
// Keys are pool/account@endpoint.
func TestSharedPools(t *testing.T) {
	for _, c := range []struct{ name, keys, clients, want string }{
		{"one of each", "/a", "x/", ""},
		{"the v1 way", "/a /a", "", ""},
		{"the v1 way, two accounts", "/a /b", "", "default"},
		{"two accounts", "/a /b", "x/", "default"},
		{"two clients", "/a", "x/ y/", "default"},
		{"a pool of another endpoint beside", "/a p/b@other p/c@other", "x/ y/p z/p", "p"},
		{"a pool of one and of another endpoint beside", "/a p/b@other", "x/ y/p", ""},
		{"one account in two pools", "/a p/a", "x/ y/p", "default p"},
		{"one endpoint in two pools: the accounts may be one that nobody named", "/a p/b", "x/ y/p", "default p"},
		{"one of two endpoints in two pools", "/a p/b@other q/c q/c@other", "x/ y/p", ""},
		{"one of two endpoints in two pools, and a client of both", "/a p/b@other q/c q/c@other", "x/ z/q", "default q"},
		{"one account in two pools of one client", "/a p/a", "x/", ""},
		{"two clients without a key", "/a", "x/p y/p", ""},
	} {
		s := new(catalog.Snapshot)
		for _, key := range strings.Fields(c.keys) {
			pool, account, _ := strings.Cut(key, "/")
			account, endpoint, _ := strings.Cut(account, "@")
			s.Keys = append(s.Keys, catalog.Key{Key: &proxy.Key{Pool: pool, Account: account, Endpoint: endpoint}})
		}
		for _, client := range strings.Fields(c.clients) {
			id, pool, _ := strings.Cut(client, "/")
			s.Clients = append(s.Clients, catalog.Client{Client: &proxy.Client{ID: id, Pool: pool}})
		}
		var got []string
		for _, pool := range slices.Sorted(maps.Keys(sharedPools(s))) {
			if pool == "" {
				pool = "default"
			}
			got = append(got, pool)
		}
		if text := strings.Join(got, " "); text != c.want {
			t.Errorf("%s: shared are %q, want %q", c.name, text, c.want)
		}
	}
}
