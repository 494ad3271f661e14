package catalog

import (
	"fmt"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/seal"
	"openai-api-proxy/pkg/state"
	"openai-api-proxy/pkg/state/memstate"
)

const twoOfEach = `
keys: [{id: a, key: sk-test-secret-0-000000001}, {id: c, key: sk-test-secret-1-000000001, enabled: false}]
clients: [{id: a, token: sk-test-token-0-00000000000001}, {id: d, token: sk-test-token-1-00000000000001}]`

// Whatever changes, in whatever order, the amended snapshot is the one that would have been put together anew.
func TestAmendedAsBuilt(t *testing.T) {
	box := boxOf(t, seal.NewKey())
	rapid.Check(t, func(rt *rapid.T) {
		store := memstate.New()
		r := open(t, store, box, twoOfEach)
		names := rapid.SampledFrom([]string{"a", "b", "c", "d", "e"})
		for range rapid.IntRange(1, 12).Draw(rt, "rounds") {
			var changes []state.Change
			taken := map[name]bool{}
			for range rapid.IntRange(1, 3).Draw(rt, "changes") {
				if change := drawChange(rt, r.Catalog, names); !taken[name{change.Kind, change.ID}] {
					taken[name{change.Kind, change.ID}] = true
					changes = append(changes, change)
				}
			}
			earlier, keys := r.Current(), fmt.Sprint(r.Current().Keys)
			if _, err := store.Apply(t.Context(), 0, changes, state.Note{}); err != nil {
				rt.Fatal(err)
			}
			if err := r.Sync(t.Context()); err != nil {
				rt.Fatal(err)
			}
			if fmt.Sprint(earlier.Keys) != keys {
				rt.Fatal("a snapshot that was published has changed")
			}
			alike(rt, r.Catalog)
		}
	})
}

// drawChange puts something in the place of an item, or deletes it. There are fewer secrets than ids.
func drawChange(rt *rapid.T, c *Catalog, names *rapid.Generator[string]) state.Change {
	id, n := names.Draw(rt, "id"), rapid.IntRange(0, 3).Draw(rt, "secret")
	change := state.Change{Kind: rapid.SampledFrom([]string{state.KeyItem, state.KeyItem, state.ClientItem, state.OverrideItem,
		state.SettingItem}).Draw(rt, "kind"), ID: id, Expect: state.Anything}
	var record any
	switch change.Kind {
	case state.KeyItem:
		record = keyRecord{Spec: fmt.Appendf(nil, `{"id":%q,"key":"sk-test-secret-%d-000000001","weight":%d}`, id, n, n+1)}
	case state.ClientItem:
		record = clientRecord{Spec: fmt.Appendf(nil, `{"id":%q,"rpm":%d}`, id, n+1),
			Tokens: []tokenRecord{tokenOf(proxy.NewSecret(fmt.Sprintf("sk-test-token-%d-00000000000001", n)))}}
	case state.OverrideItem:
		change.ID = overrideID(rapid.SampledFrom([]string{state.KeyItem, state.ClientItem}).Draw(rt, "of"), id)
		enabled := n%2 == 0
		record = override{Enabled: &enabled}
	case state.SettingItem:
		change.ID = rapid.SampledFrom([]string{"strategy", "auth", "failover.maxRetries"}).Draw(rt, "setting")
		change.Value = []byte([]string{`"random"`, `"weighted"`, `3`, `4`}[n])
	}
	switch rapid.IntRange(0, 4).Draw(rt, "how") {
	case 0:
		change.Value = nil
	case 1:
		change.Value = []byte("{ not to be read")
	default:
		if record != nil {
			change.Value, _ = c.write(change.Kind, change.ID, record)
		}
	}
	return change
}

// alike compares the latest snapshot with what there is.
func alike(rt *rapid.T, c *Catalog) {
	c.mu.Lock()
	want, _ := c.buildLocked(c.base)
	c.mu.Unlock()
	got := c.Current()
	for i := range 4 {
		for _, text := range []string{"sk-test-secret-%d-000000001", "sk-test-token-%d-00000000000001"} {
			secret := proxy.NewSecret(fmt.Sprintf(text, i)).Hash()
			if got.Holder(secret) != want.Holder(secret) {
				rt.Fatalf("%s %d is that of %q, want %q", text, i, got.Holder(secret), want.Holder(secret))
			}
		}
	}
	bare := func(s Snapshot) Snapshot {
		s.holders, s.tokens = holders{}, nil
		return s
	}
	if g, w := bare(*got), bare(*want); !reflect.DeepEqual(g, w) {
		rt.Fatalf("amended\n%+v\nbuilt\n%+v", g, w)
	}
}
