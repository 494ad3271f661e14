package balancer

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"openai-api-proxy/pkg/proxy"
)

// A pool is what looking at every key finds, whatever configurations came before, and two replicas that came to the same
// keys on different ways visit them in the same order.
func TestPoolsAreTheSameOnEveryReplica(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	dice := rand.New(rand.NewPCG(seed, 0))
	models := []string{"", "gpt-4o", "gpt-4o-mini", "o1", "o3", "gpt-5"}
	patterns := []proxy.Patterns{nil, {"gpt-4o*"}, {"o1", "o3"}, {"o*"}, {"gpt-4o*", "o1"}}
	made := func(id int) *proxy.Key {
		k := pooled(dice.Int64N(4) + 1)[0]
		k.ID, k.Enabled, k.Pool = fmt.Sprintf("key-%03d", id), dice.IntN(5) > 0, []string{"", "", "gold"}[dice.IntN(3)]
		k.Models = patterns[dice.IntN(len(patterns))]
		return k
	}
	keys := make([]*proxy.Key, 60)
	for i := range keys {
		keys[i] = made(i)
	}
	pool := func() Pool { return setup{Keys: slices.Clone(keys), Strategy: "weighted", Policy: policy}.pool() }
	long := balancerOf(t, setup{Keys: slices.Clone(keys), Strategy: "weighted"})
	for range 50 {
		switch n := dice.IntN(len(keys)); dice.IntN(3) {
		case 0:
			keys = slices.Delete(keys, n, n+1)
		case 1:
			keys = append(keys, made(1000+dice.IntN(100_000)))
		default:
			changed := made(0)
			changed.ID = keys[n].ID
			keys[n] = changed
		}
		one, other := long.Configure(pool()), balancerOf(t, setup{Keys: slices.Clone(keys), Strategy: "weighted"}).view.Load()
		for _, model := range models {
			for _, of := range []string{"", "gold", "none"} {
				samePool(t, one, other, served{of, model})
			}
		}
	}
}

func samePool(t *testing.T, one, other *View, use served) {
	t.Helper()
	p, q := one.pools.of(one, use), other.pools.of(other, use)
	sum, n := sha256.New(), 0
	fmt.Fprintln(sum, true)
	for _, k := range one.keys {
		if k.Enabled && k.Pool == use.pool && k.Serves(use.model) {
			fmt.Fprintln(sum, k.ID, k.Weight) // as versions before wrote it
			n++
		}
	}
	if want := hex.EncodeToString(sum.Sum(nil)[:12]); p.id != want || q.id != want || len(p.keys) != n || len(q.keys) != n {
		t.Fatalf("%v: pool %s of %d keys and %s of %d, want %s of %d", use, p.id, len(p.keys), q.id, len(q.keys), want, n)
	}
	for at := range min(p.weights.total, 500) {
		i, _ := p.weights.at(at)
		j, _ := q.weights.at(at)
		if p.keys[i].ID != q.keys[j].ID {
			t.Fatalf("%v: position %d is %s here and %s there", use, at, p.keys[i].ID, q.keys[j].ID)
		}
	}
}

// A change of keys makes the pools that were in use anew, and a model nobody asked for yet makes none when others share it.
func TestPoolsAreMadeBeforeTheyAreAskedFor(t *testing.T) {
	keys := pooled(1, 2, 3)
	keys[2].Models = proxy.Patterns{"o1"}
	b := balancerOf(t, setup{Keys: keys, Strategy: "weighted"})
	for _, model := range []string{"gpt-4o", "gpt-5", "o1"} {
		call(t, b, model, is(proxy.Served))
	}
	changed := *keys[0]
	changed.Weight = 5
	v := b.Configure(setup{Keys: []*proxy.Key{&changed, keys[1], keys[2]}, Strategy: "weighted", Policy: policy}.pool())
	if n := len(v.pools.byKind); n != 2 {
		t.Errorf("%d pools are ready, want 2", n)
	}
	ready := v.pools.byKind[v.kinds.serving(served{model: "gpt-4o"})]
	for _, model := range []string{"gpt-4o", "gpt-5", "never-asked-for"} {
		if p := v.pools.of(v, served{model: model}); p != ready || p == nil {
			t.Errorf("%s has a pool of its own", model)
		}
	}
	if p := v.pools.of(v, served{model: "o1"}); len(p.keys) != 3 {
		t.Errorf("%d keys serve o1", len(p.keys))
	}
}

// fiftyThousand are keys of ten accounts and weights 1 to 5; every tenth serves only some models.
func fiftyThousand() []*proxy.Key {
	weights := make([]int64, 50_000)
	for i := range weights {
		weights[i] = int64(i%5) + 1
	}
	keys := pooled(weights...)
	for i, k := range keys {
		k.ID, k.Account = fmt.Sprintf("key-%06d", i), fmt.Sprintf("org-%d", i%10)
		if i%10 == 0 {
			k.Models = proxy.Patterns{"gpt-4o*", "o1"}
		}
	}
	return keys
}

// The first request of each model after one of very many keys changed. What Configure itself costs is told beside it.
func BenchmarkFirstPickAfterAChange(b *testing.B) {
	keys := fiftyThousand()
	bal := started(quiet(setup{Keys: keys, Strategy: "weighted"}))
	defer bal.Close()
	pick := func(model string) {
		p, err := bal.Pick(b.Context(), Ask{Model: model})
		if err != nil {
			b.Fatal(err)
		}
		p.Close()
	}
	const models = 10
	for i := range models {
		pick(fmt.Sprintf("gpt-%d", i))
	}
	pick("gpt-4o")
	n := 0
	for b.Loop() {
		b.StopTimer()
		n++
		changed := *keys[n%len(keys)]
		changed.Weight++
		keys[n%len(keys)] = &changed
		bal.Configure(setup{Keys: keys, Strategy: "weighted", Policy: policy}.pool())
		b.StartTimer()
		for i := range models {
			pick(fmt.Sprintf("gpt-%d", i))
		}
		pick("gpt-4o")
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(n*(models+1)), "µs/model")
}

// One change among very many keys.
func BenchmarkConfigureOneChange(b *testing.B) {
	keys := fiftyThousand()
	bal := started(quiet(setup{Keys: keys, Strategy: "weighted"}))
	defer bal.Close()
	for _, model := range []string{"gpt-4o", "gpt-5"} {
		p, err := bal.Pick(b.Context(), Ask{Model: model})
		if err != nil {
			b.Fatal(err)
		}
		p.Close()
	}
	n := 0
	for b.Loop() {
		n++
		changed := *keys[n%len(keys)]
		changed.Weight++
		keys[n%len(keys)] = &changed
		bal.Configure(setup{Keys: keys, Strategy: "weighted", Policy: policy}.pool())
	}
}
