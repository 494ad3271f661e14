package balancer

import (
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"openai-api-proxy/pkg/proxy"
)

// Whatever configurations follow each other, what is known is what the latest one names, and what stays is kept.
func TestWhatIsKnownFollowsTheView(t *testing.T) {
	b := balancerOf(t, setup{})
	rapid.Check(t, func(rt *rapid.T) {
		var held []*proxy.Key // those of the configuration before, some of which are taken over as they are
		for range rapid.IntRange(2, 8).Draw(rt, "rounds") {
			before := b.view.Load()
			var keys []*proxy.Key
			for _, id := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c", "d", "e"}), 0, 5, rapid.ID).Draw(rt, "ids") {
				keys = append(keys, drawKey(rt, id, held))
			}
			held = keys
			v := b.Configure(setup{Keys: keys, Strategy: "roundrobin", Policy: policy}.pool())
			alikeKnown(rt, b, v)
			for _, was := range before.keys {
				now := v.find(was.ID)
				if now != nil && (now.vitals == was.vitals) != (now.Secret == was.Secret) {
					rt.Fatalf("%s: kept %t", now.ID, now.vitals == was.vitals)
				}
				if now == nil && !was.off.Load() {
					rt.Fatalf("%s is gone and still used", was.ID)
				}
			}
		}
	})
}

func drawKey(rt *rapid.T, id string, held []*proxy.Key) *proxy.Key {
	at := slices.IndexFunc(held, func(k *proxy.Key) bool { return k.ID == id })
	if at >= 0 && rapid.Bool().Draw(rt, "as it was") {
		return held[at]
	}
	return &proxy.Key{ID: id, Weight: 1, Enabled: rapid.Bool().Draw(rt, "enabled"),
		Secret:   proxy.NewSecret(rapid.SampledFrom([]string{"s1-", "s2-"}).Draw(rt, "secret") + id),
		Account:  rapid.SampledFrom([]string{"x", "y", id}).Draw(rt, "account"),
		Endpoint: rapid.SampledFrom([]string{"http://one", "http://two"}).Draw(rt, "endpoint")}
}

// alikeKnown fails unless what is known is what the view names.
func alikeKnown(rt *rapid.T, b *Balancer, v *View) {
	ids, accounts, endpoints := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for i, k := range v.keys {
		if i > 0 && v.keys[i-1].ID >= k.ID {
			rt.Fatalf("%s comes after %s", k.ID, v.keys[i-1].ID)
		}
		ids[k.ID], accounts[k.Account], endpoints[k.Endpoint] = true, true, true
		if k.vitals != b.known.vitals[k.ID] || k.account != b.known.accounts[k.Account] || k.endpoint != b.known.endpoints[k.Endpoint] {
			rt.Fatalf("the view knows something else of %s", k.ID)
		}
		if k.off.Load() == k.Enabled || k.secret != k.Secret {
			rt.Fatalf("%s is off: %t", k.ID, k.off.Load())
		}
	}
	for _, names := range [][2][]string{{keysIn(ids), keysIn(b.known.vitals)}, {keysIn(accounts), keysIn(b.known.accounts)},
		{keysIn(endpoints), keysIn(b.known.endpoints)}} {
		if !slices.Equal(names[0], names[1]) {
			rt.Fatalf("%v are named and %v known", names[0], names[1])
		}
	}
}

func keysIn[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
