package app

import (
	"sync"

	"openai-api-proxy/pkg/catalog"
)

// sharing reports of a pool whether an object stored upstream might be somebody else's there, or lie in another account than
// the one that is picked. It looks at all keys, once, when it is asked first.
func sharing(s *catalog.Snapshot) func(pool string) bool {
	shared := sync.OnceValue(func() map[string]bool { return sharedPools(s) })
	return func(pool string) bool { return shared()[pool] }
}

// sharedPools are the pools with keys of more than one account, and those with an endpoint that another client reaches too,
// through whatever pool. Endpoints and not accounts: an account that nobody named is called by its key, so that two keys of
// one organization in two pools look like two accounts and hold each other's objects. Only another endpoint surely holds
// others.
func sharedPools(s *catalog.Snapshot) map[string]bool {
	type use struct{ pool, of string }
	seen, clients := map[use]bool{}, map[string]int{}
	accounts, reach := map[string]int{}, map[string][]string{}
	for _, c := range s.Clients {
		clients[c.Pool]++
	}
	for _, k := range s.Keys {
		if account := (use{k.Pool, "account " + k.Account}); !seen[account] {
			seen[account] = true
			accounts[k.Pool]++
		}
		if endpoint := (use{k.Pool, "endpoint " + k.Endpoint}); !seen[endpoint] {
			seen[endpoint] = true
			reach[k.Endpoint] = append(reach[k.Endpoint], k.Pool)
		}
	}
	shared := map[string]bool{}
	for _, pools := range reach {
		callers := 0
		for _, pool := range pools {
			callers += clients[pool]
		}
		for _, pool := range pools {
			if callers > 1 || accounts[pool] > 1 {
				shared[pool] = true
			}
		}
	}
	return shared
}
