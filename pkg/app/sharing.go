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

// sharedPools are the pools with keys of more than one account, and those of whose account another client has keys too, in
// whatever pool. What is in other pools is nobody's business here.
func sharedPools(s *catalog.Snapshot) map[string]bool {
	type use struct{ pool, account string }
	seen, clients := map[use]bool{}, map[string]int{}
	accounts, pools := map[string]int{}, map[string][]string{}
	for _, c := range s.Clients {
		clients[c.Pool]++
	}
	for _, k := range s.Keys {
		if is := (use{k.Pool, k.Account}); !seen[is] {
			seen[is] = true
			accounts[k.Pool]++
			pools[k.Account] = append(pools[k.Account], k.Pool)
		}
	}
	shared := map[string]bool{}
	for _, of := range pools {
		callers := 0
		for _, pool := range of {
			callers += clients[pool]
		}
		for _, pool := range of {
			if callers > 1 || accounts[pool] > 1 {
				shared[pool] = true
			}
		}
	}
	return shared
}
