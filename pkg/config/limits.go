package config

import (
	"cmp"
	"slices"

	"openai-api-proxy/pkg/proxy"
)

// limits reads what may be used of a key or an account. Rates let as much through at once as in a minute, as the upstream's
// own do.
func limits(f *fields) proxy.Limits {
	return proxy.Limits{RPM: f.whole("rpm", 0, 1, mostRate), TPM: f.whole("tpm", 0, 1, mostTokens),
		Concurrency: f.whole("concurrency", 0, 1, mostSlots), Quota: budgets(f)}
}

// accounts reads the limits of accounts. One that no key names yet is only doubted: its keys may come at run time.
func (l *loader) accounts(root *fields) {
	first := map[string]place{}
	for _, item := range root.array("accounts") {
		f, ok := item.object()
		if !ok {
			continue
		}
		a, named := proxy.Account{}, false
		a.ID, named = need(f, "id", identifier)
		a.Limits = limits(f)
		f.end()
		if !named {
			continue
		}
		if before, taken := first[a.ID]; taken {
			f.wrong(f.at, "has the same id as %v", before)
			continue
		}
		first[a.ID] = f.at
		if !a.Any() {
			f.warn(f.at, "limits nothing")
		}
		if !slices.ContainsFunc(l.cfg.Keys, func(k *proxy.Key) bool { return k.Account == a.ID }) {
			f.warn(f.at, "is the account of no key here; it counts for keys that are added at run time")
		}
		l.cfg.Accounts = append(l.cfg.Accounts, a)
	}
	slices.SortFunc(l.cfg.Accounts, func(a, b proxy.Account) int { return cmp.Compare(a.ID, b.ID) })
}
