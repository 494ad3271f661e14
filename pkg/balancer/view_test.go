package balancer

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
)

func (b *Balancer) rests(id string, reason proxy.Reason) {
	b.apply(state.Rest{Subject: state.Subject{Scope: proxy.ByKey, ID: id}, Reason: reason, Until: time.Now().Add(time.Hour)})
}

// What is known of a key stays while configurations come and go, and ends with its secret.
func TestConfigureKeepsWhatIsKnown(t *testing.T) {
	keys := pooled(1, 1, 1)
	b := balancerOf(t, setup{Keys: keys})
	b.rests("k0", proxy.Invalid)
	p, err := b.Pick(t.Context(), Ask{Model: "m"})
	if err != nil {
		t.Fatal(err)
	}
	more := append(slices.Clone(keys), &proxy.Key{ID: "new", Account: "of-k0", Secret: proxy.NewSecret("sk-test-new"), Enabled: true, Weight: 1})
	b.Configure(setup{Keys: more, Strategy: "roundrobin", Policy: policy}.pool())
	if got := b.stateOf("k0"); got != "invalid" {
		t.Errorf("the key is %s after a change of something else", got)
	}
	if got, _ := b.State(p.Key.ID); got.InFlight != 1 {
		t.Errorf("%d in flight", got.InFlight)
	}
	p.Close()
	if got, _ := b.State(p.Key.ID); got.InFlight != 0 {
		t.Errorf("%d in flight after the end of a request of the configuration before", got.InFlight)
	}
	other := *keys[0]
	other.Secret = proxy.NewSecret("sk-test-another")
	b.Configure(setup{Keys: []*proxy.Key{&other, keys[1]}, Strategy: "roundrobin", Policy: policy}.pool())
	if got := b.stateOf("k0"); got != "active" {
		t.Errorf("the key is %s although its secret is another one", got)
	}
	if got := b.stateOf("k2"); got != "absent" {
		t.Errorf("the key that is gone is %s", got)
	}
}

// A rotation goes on where it stood when the pool stays as it is.
func TestConfigureKeepsPositions(t *testing.T) {
	keys := pooled(1, 1, 1)
	for _, lease := range []bool{false, true} {
		b := balancerOf(t, setup{Keys: keys, LeaseCursor: lease})
		got := map[string]int{}
		for i := range 300 {
			if i%10 == 0 {
				b.Configure(setup{Keys: keys, Strategy: "roundrobin", Policy: policy}.pool())
			}
			got[call(t, b, "m", is(proxy.Served))]++
		}
		for id, n := range got {
			if n < 98 || n > 102 {
				t.Errorf("lease %v: key %s got %d of 300 over 30 configurations", lease, id, n)
			}
		}
	}
}

// Keys that are gone are not picked by second tries of requests that began before; first tries belong to their own
// configuration.
func TestKeysThatAreGone(t *testing.T) {
	keys := pooled(1, 1)
	b := balancerOf(t, setup{Keys: keys})
	old := b.view.Load()
	b.Configure(setup{Keys: keys[1:], Strategy: "roundrobin", Policy: policy}.pool())
	seen := map[string]bool{}
	for range 4 {
		p, err := old.Pick(t.Context(), Ask{Model: "m"})
		if err != nil {
			t.Fatal(err)
		}
		seen[p.Key.ID] = true
		p.Close()
	}
	if !seen["k0"] || !seen["k1"] {
		t.Errorf("first tries saw %v", seen)
	}
	if p, err := old.Pick(t.Context(), Ask{Model: "m", Tried: []*proxy.Key{keys[1]}, Last: proxy.KeyRejected}); err == nil {
		t.Errorf("a second try was given %s, which is gone", p.Key.ID)
	}
}

// Keys of a named pool serve its clients and nobody else.
func TestNamedPools(t *testing.T) {
	keys := pooled(1, 1, 1)
	keys[2].Pool = "lab"
	b := balancerOf(t, setup{Keys: keys})
	for range 6 {
		for pool, want := range map[string]bool{"": false, "lab": true} {
			p, err := b.Pick(t.Context(), Ask{Pool: pool, Model: "m"})
			if err != nil || (p.Key.ID == "k2") != want {
				t.Fatalf("pool %q was given %v, %v", pool, p, err)
			}
			p.Close()
		}
	}
	if p, err := b.Pick(t.Context(), Ask{Pool: "none", Model: "m"}); err == nil {
		t.Errorf("a pool without keys was given %s", p.Key.ID)
	}
}

// Rests that the fleet told of before a key was configured here count for it from its first moment.
func TestRestsOfKeysThatComeLater(t *testing.T) {
	keys := pooled(1, 1, 1)
	b := balancerOf(t, setup{Keys: keys[:2]})
	until := time.Now().Add(time.Hour)
	b.Sync([]state.Rest{{Subject: state.Subject{Scope: proxy.ByKey, ID: "k2"}, Reason: proxy.Open, Until: until},
		{Subject: state.Subject{Scope: proxy.ByModel, ID: "of-k2", Model: "m"}, Reason: proxy.Cooling, Until: until}})
	b.Configure(setup{Keys: keys, Strategy: "roundrobin", Policy: policy}.pool())
	if got := b.stateOf("k2"); got != "open" {
		t.Errorf("the key is %s", got)
	}
	if _, cooling := b.known.account("of-k2").models.at("m", time.Now().UnixNano()); !cooling {
		t.Error("its account does not cool")
	}
}

// Configurations change while requests run: every request is served by a key of its own configuration.
func TestConfigureUnderLoad(t *testing.T) {
	first, second := pooled(1, 1, 1), pooled(1, 1)
	for _, k := range second {
		k.Secret = proxy.NewSecret("sk-test-of-second-" + k.ID)
	}
	b := balancerOf(t, setup{Keys: first})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 500 {
				v := b.view.Load()
				p, err := v.Pick(context.Background(), Ask{Model: "m"})
				if err != nil {
					t.Errorf("no key: %v", err)
					return
				}
				if !slices.Contains(v.Keys, p.Key) {
					t.Errorf("%s is of another configuration", p.Key.ID)
				}
				p.Report(proxy.Verdict{Outcome: proxy.Served})
				p.Close()
			}
		})
	}
	for i := range 200 {
		b.Configure(setup{Keys: [][]*proxy.Key{first, second}[i%2], Strategy: "roundrobin", Policy: policy}.pool())
	}
	wg.Wait()
}

func TestResetByHand(t *testing.T) {
	b := balancerOf(t, setup{Keys: pooled(1, 1)})
	b.rests("k0", proxy.Open)
	b.apply(state.Rest{Subject: state.Subject{Scope: proxy.ByAccount, ID: "of-k0"}, Reason: proxy.Exhausted, Until: time.Now().Add(time.Hour)})
	b.apply(state.Rest{Subject: state.Subject{Scope: proxy.ByModel, ID: "of-k0", Model: "m"}, Reason: proxy.Cooling, Until: time.Now().Add(time.Hour)})
	if !b.Reset("k0") || b.Reset("nobody") {
		t.Error("not the right keys were reset")
	}
	if got := shares(t, b, 10); got["k0"] != 5 {
		t.Errorf("after the reset %v", got)
	}
}

// A key that nobody uses is asked about once in the interval; what the upstream says counts.
func TestIdleKeysAreLookedAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		asked, verdict := map[string]int{}, proxy.Verdict{Outcome: proxy.Served}
		b := balancerOf(t, setup{Keys: pooled(1, 1, 1), CheckIdle: time.Minute,
			Confirm: func(_ context.Context, k *proxy.Key) proxy.Verdict {
				mu.Lock()
				defer mu.Unlock()
				asked[k.ID]++
				if k.ID == "k1" {
					return verdict
				}
				return proxy.Verdict{Outcome: proxy.Served}
			}})
		defer b.Close()
		b.Configure(setup{Keys: pooled(1, 1, 1), Strategy: "roundrobin", Policy: policy, CheckIdle: time.Minute}.pool())
		for range 50 { // k0 is in use, the others are not
			time.Sleep(5 * time.Second)
			p, err := b.Pick(t.Context(), Ask{Model: "m"})
			if err != nil {
				t.Fatal(err)
			}
			if p.Key.ID == "k0" {
				p.Report(proxy.Verdict{Outcome: proxy.Served})
			}
			p.Close()
		}
		mu.Lock()
		if asked["k0"] != 0 || asked["k1"] < 3 || asked["k1"] > 4 || asked["k2"] < 3 {
			t.Errorf("asked about %v in 250 s", asked)
		}
		verdict = proxy.Verdict{Outcome: proxy.KeyRejected, Status: 401}
		mu.Unlock()
		time.Sleep(70 * time.Second)
		if got := b.stateOf("k1"); got != "invalid" && got != "half-open" {
			t.Errorf("a key that is not accepted any more is %s", got)
		}
		mu.Lock()
		verdict = proxy.Verdict{Outcome: proxy.Served}
		mu.Unlock()
		time.Sleep(3 * time.Minute)
		if got := b.stateOf("k1"); got != "active" {
			t.Errorf("a key that is accepted again is %s", got)
		}
	})
}
