package balancer

import (
	"errors"
	"strings"
	"testing"

	"openai-api-proxy/pkg/proxy"
)

// A request for a stored object goes to its account, in turn where that has several keys, and takes nobody's place.
func TestPickOfOneAccount(t *testing.T) {
	keys := pooled(1, 1, 1, 1)
	keys[0].Account, keys[1].Account, keys[2].Account, keys[3].Account = "x", "y", "y", "z"
	b := balancerOf(t, setup{Keys: keys})
	seen := map[string]int{}
	pick := func(ask Ask) *proxy.Key {
		t.Helper()
		p, err := b.Pick(t.Context(), ask)
		if err != nil {
			t.Fatal(err)
		}
		p.Report(proxy.Verdict{Status: 200})
		p.Close()
		return p.Key
	}
	for range 40 {
		k := pick(Ask{Account: "y"})
		if k.Account != "y" {
			t.Fatalf("%s of %s", k.ID, k.Account)
		}
		seen[k.ID]++
		seen["all "+pick(Ask{}).ID]++
	}
	if seen["k1"] < 10 || seen["k2"] < 10 {
		t.Errorf("the keys of the account: %v", seen)
	}
	for _, k := range keys {
		if seen["all "+k.ID] != 10 {
			t.Errorf("the shares of the others: %v", seen)
		}
	}
}

// Where no key of the account can be used, none of another account is, and the caller is told why.
func TestNoKeyOfTheAccount(t *testing.T) {
	keys := pooled(1, 1, 1)
	keys[0].Account, keys[1].Account, keys[2].Account = "x", "y", "y"
	b := balancerOf(t, setup{Keys: keys})
	b.rests("k0", proxy.Invalid)
	for account, text := range map[string]string{"x": "none of 1 keys of the account", "gone": "no key of the account is left"} {
		var f *proxy.Fault
		_, err := b.Pick(t.Context(), Ask{Account: account})
		if !errors.As(err, &f) || f.Kind != proxy.NoAvailableKey || !strings.Contains(f.Public, text) {
			t.Errorf("%s: %v", account, err)
		}
	}
	e := b.view.Load().Explain(Ask{Account: "y"}, nil)
	if e.Counts[whyAccount] != 1 || e.Counts[whyUsable] != 2 {
		t.Errorf("%+v", e.Counts)
	}
}
