package balancer

import "maps"

// adoptChangedLocked is adoptLocked for a view of which most keys are those of the view before: it looks only at those that
// came and those that are gone, so that one change among very many keys costs little.
func (k *known) adoptChangedLocked(v *View, came, gone []*key) adopted {
	whole := k.knowledge
	k.knowledge = nothing()
	for _, changed := range [2][]*key{came, gone} {
		for _, key := range changed {
			k.shareLocked(&whole, key)
		}
	}
	fresh := k.adoptLocked(&View{Pool: v.Pool, b: v.b, keys: came})
	for _, key := range gone {
		delete(whole.vitals, key.ID)
	}
	k.forgetLocked(&whole, v, gone)
	maps.Copy(whole.vitals, k.vitals)
	maps.Copy(whole.accounts, k.accounts)
	maps.Copy(whole.endpoints, k.endpoints)
	k.knowledge = whole
	return fresh
}

// shareLocked takes over what the whole knows of a key.
func (k *knowledge) shareLocked(whole *knowledge, of *key) {
	if is := whole.vitals[of.ID]; is != nil {
		k.vitals[of.ID] = is
	}
	if is := whole.accounts[of.Account]; is != nil {
		k.accounts[of.Account] = is
	}
	if is := whole.endpoints[of.Endpoint]; is != nil {
		k.endpoints[of.Endpoint] = is
	}
}

// forgetLocked takes those accounts and endpoints of keys that are gone out of the whole that no key of the view names.
func (k *knowledge) forgetLocked(whole *knowledge, v *View, gone []*key) {
	accounts, endpoints := map[*account]bool{}, map[*endpoint]bool{}
	for _, key := range gone {
		if k.accounts[key.Account] == nil {
			accounts[key.account] = true
		}
		if k.endpoints[key.Endpoint] == nil {
			endpoints[key.endpoint] = true
		}
	}
	for i := 0; i < len(v.keys) && len(accounts)+len(endpoints) > 0; i++ {
		delete(accounts, v.keys[i].account)
		delete(endpoints, v.keys[i].endpoint)
	}
	for a := range accounts {
		delete(whole.accounts, a.id)
	}
	for e := range endpoints {
		delete(whole.endpoints, e.id)
	}
}
