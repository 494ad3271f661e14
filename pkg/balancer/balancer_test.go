package balancer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
	"openai-api-proxy/pkg/state/memstate"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var policy = Policy{FailureThreshold: 5, OpenTimeout: 30 * time.Second, MaxRest: 10 * time.Minute}

// pooled makes keys k0, k1, ... of an account each, with the weights.
func pooled(weights ...int64) []*proxy.Key {
	keys := make([]*proxy.Key, len(weights))
	for i, w := range weights {
		id := fmt.Sprintf("k%d", i)
		keys[i] = &proxy.Key{ID: id, Account: "of-" + id, Secret: proxy.NewSecret("sk-test-" + id), Endpoint: "https://up.test",
			Weight: w, Enabled: true}
	}
	return keys
}

// setup is a balancer with its first configuration.
type setup struct {
	Keys        []*proxy.Key
	Strategy    string
	Policy      Policy
	Store       store
	LeaseCursor bool
	Confirm     func(context.Context, *proxy.Key) proxy.Verdict
	CheckIdle   time.Duration
	Accounts    []proxy.Account
	Replicas    func() int
}

func (o setup) pool() Pool { return Pool{o.Keys, o.Accounts, o.Strategy, o.Policy, o.CheckIdle} }

// started makes the balancer of a setup.
func started(o setup) *Balancer {
	b := New(Options{Store: o.Store, LeaseCursor: o.LeaseCursor, Confirm: o.Confirm, Replicas: o.Replicas, Log: slog.New(slog.DiscardHandler),
		Metrics: prometheus.NewRegistry()})
	b.Configure(o.pool())
	return b
}

// Pick picks from the latest configuration.
func (b *Balancer) Pick(ctx context.Context, ask Ask) (*Pick, error) {
	return b.view.Load().Pick(ctx, ask)
}

// quiet fills in what a test does not care about.
func quiet(o setup) setup {
	if o.Strategy == "" {
		o.Strategy = "roundrobin"
	}
	if o.Store == nil {
		o.Store = memstate.New()
	}
	if o.Policy == (Policy{}) {
		o.Policy = policy
	}
	return o
}

func balancerOf(t testing.TB, o setup) *Balancer {
	t.Helper()
	b := started(quiet(o))
	t.Cleanup(b.Close)
	if err := b.Restore(t.Context()); err != nil {
		t.Fatal(err)
	}
	return b
}

// call picks a key, reports the outcome for it, and returns its id; "" when there was none.
func call(t testing.TB, b *Balancer, model string, as func(id string) proxy.Verdict) string {
	t.Helper()
	p, err := b.Pick(context.Background(), Ask{Model: model})
	if err != nil {
		return ""
	}
	defer p.Close()
	p.Report(as(p.Key.ID))
	return p.Key.ID
}

func is(o proxy.Outcome) func(string) proxy.Verdict {
	return func(string) proxy.Verdict { return proxy.Verdict{Outcome: o} }
}

// only gives one key the verdict, and serves all others.
func only(id string, v proxy.Verdict) func(string) proxy.Verdict {
	return func(picked string) proxy.Verdict {
		if picked == id {
			return v
		}
		return proxy.Verdict{Outcome: proxy.Served}
	}
}

// shares counts the picks of n calls.
func shares(t testing.TB, b *Balancer, n int) map[string]int {
	t.Helper()
	got := map[string]int{}
	for range n {
		got[call(t, b, "m", is(proxy.Served))]++
	}
	return got
}

func (b *Balancer) stateOf(id string) string {
	for _, s := range b.States() {
		if s.Key.ID == id {
			return s.State
		}
	}
	return "absent"
}

func TestExactShares(t *testing.T) {
	for strategy, want := range map[string][]int{"roundrobin": {2000, 2000, 2000, 2000, 2000}, "weighted": {667, 1333, 2000, 2667, 3333}} {
		b := balancerOf(t, setup{Keys: pooled(1, 2, 3, 4, 5), Strategy: strategy})
		got := shares(t, b, 10_000)
		for i, n := range want {
			if d := got[fmt.Sprintf("k%d", i)] - n; d < -1 || d > 1 {
				t.Errorf("%s: key %d got %d of 10,000, want %d", strategy, i, got[fmt.Sprintf("k%d", i)], n)
			}
		}
	}
}

// The share of a key that rests goes to the others by their weight.
func TestShareOfARestingKeyIsSpread(t *testing.T) {
	for strategy, want := range map[string][]int{"roundrobin": {2500, 2500, 0, 2500, 2500}, "weighted": {833, 1667, 0, 3333, 4167}} {
		b := balancerOf(t, setup{Keys: pooled(1, 2, 3, 4, 5), Strategy: strategy})
		b.apply(state.Rest{Subject: state.Subject{Scope: proxy.ByKey, ID: "k2"}, Reason: proxy.Open, Until: time.Now().Add(time.Hour)})
		got := shares(t, b, 10_000)
		for i, n := range want {
			if d := got[fmt.Sprintf("k%d", i)] - n; d < -n/100-1 || d > n/100+1 {
				t.Errorf("%s: key %d got %d of 10,000, want %d", strategy, i, got[fmt.Sprintf("k%d", i)], n)
			}
		}
	}
}

// Every cycle gives each key exactly its weight, and no visit of a key is counted twice.
func TestPositionsAreExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := rapid.SliceOfN(rapid.Int64Range(1, 60), 1, 12).Draw(t, "weights")
		w := newWeights(all)
		from := rapid.Int64Range(0, 5).Draw(t, "cycle") * w.total
		seen := make([]int64, len(all))
		visits := map[[2]int64]bool{}
		for p := from; p < from+w.total; p++ {
			i, visit := w.at(p)
			seen[i]++
			if visits[[2]int64{int64(i), visit}] {
				t.Fatalf("visit %d of key %d twice", visit, i)
			}
			visits[[2]int64{int64(i), visit}] = true
		}
		for i, n := range seen {
			if n*all[0] != seen[0]*all[i] || n != w.of(i) {
				t.Fatalf("weights %v: seen %v", all, seen)
			}
		}
	})
}

func TestRandomFollowsWeights(t *testing.T) {
	got := shares(t, balancerOf(t, setup{Keys: pooled(1, 3), Strategy: "random"}), 20_000)
	if got["k1"] < 14_500 || got["k1"] > 15_500 {
		t.Errorf("the key of weight 3 of 4 got %d of 20,000", got["k1"])
	}
}

func TestLeastBusy(t *testing.T) {
	b := balancerOf(t, setup{Keys: pooled(1, 1, 1, 1), Strategy: "leastbusy"})
	var open []*Pick
	most := map[string]int{}
	for range 400 {
		p, err := b.Pick(t.Context(), Ask{})
		if err != nil {
			t.Fatal(err)
		}
		most[p.Key.ID]++
		open = append(open, p)
	}
	for id, n := range most {
		if n < 85 || n > 115 {
			t.Errorf("key %s has %d of 400 open requests", id, n)
		}
	}
	for _, p := range open {
		p.Close()
		p.Close() // the second changes nothing
	}
	for _, s := range b.States() {
		if s.InFlight != 0 {
			t.Errorf("%d in flight after all ended", s.InFlight)
		}
	}
}

func TestModels(t *testing.T) {
	keys := pooled(1, 1, 1)
	keys[0].Models = proxy.Patterns{"gpt-*"}
	keys[1].Enabled = false
	keys[2].Models = proxy.Patterns{"o1"}
	b := balancerOf(t, setup{Keys: keys})
	for model, want := range map[string]string{"gpt-4o": "k0", "o1": "k2"} {
		for range 4 {
			if got := call(t, b, model, is(proxy.Served)); got != want {
				t.Errorf("%s went to %s", model, got)
			}
		}
	}
	_, err := b.Pick(t.Context(), Ask{Model: "claude"})
	var f *proxy.Fault
	if !errors.As(err, &f) || f.Kind != proxy.InvalidRequest || f.Param != "model" {
		t.Errorf("a model that no key serves: %v", err)
	}
	for i := range 3 * mostModels { // names come from callers
		b.Pick(t.Context(), Ask{Model: fmt.Sprintf("gpt-%d", i)})
	}
	if n := len(b.view.Load().pools.byUse); n > mostModels {
		t.Errorf("%d models remembered", n)
	}
	if n := len(b.view.Load().pools.byID); n > 3 {
		t.Errorf("%d pools of 3 different sets of keys", n)
	}
}

func TestRequestQuota(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := pooled(1, 1)
		keys[0].Quota = []proxy.Budget{{Measure: proxy.Requests, Limit: 3, Period: proxy.Day}}
		b := balancerOf(t, setup{Keys: keys})
		if got := shares(t, b, 10); got["k0"] != 3 || got["k1"] != 7 {
			t.Errorf("shares %v", got)
		}
		if s := b.stateOf("k0"); s != "exhausted" {
			t.Errorf("key k0 is %s", s)
		}
		time.Sleep(25 * time.Hour)
		if got := shares(t, b, 4); got["k0"] != 2 {
			t.Errorf("the day after: %v", got)
		}
		b.Close()
	})
}

// Its own quota is the one thing for which a pool of one refuses.
func TestQuotaOfASoleKey(t *testing.T) {
	keys := pooled(1)
	keys[0].Quota = []proxy.Budget{{Measure: proxy.Requests, Limit: 2, Period: proxy.Month}}
	b := balancerOf(t, setup{Keys: keys})
	if got := shares(t, b, 4); got["k0"] != 2 {
		t.Errorf("shares %v", got)
	}
	_, err := b.Pick(t.Context(), Ask{})
	var f *proxy.Fault
	if !errors.As(err, &f) || f.Kind != proxy.NoAvailableKey || f.RetryAfter <= 0 {
		t.Errorf("%v", err)
	}
}

func TestStrategyQuota(t *testing.T) {
	keys := pooled(1, 1, 1)
	keys[0].Quota = []proxy.Budget{{Measure: proxy.Requests, Limit: 1_000_000, Period: proxy.Total}}
	keys[1].Quota = []proxy.Budget{{Measure: proxy.Requests, Limit: 3_000_000, Period: proxy.Total}}
	got := shares(t, balancerOf(t, setup{Keys: keys, Strategy: "quota"}), 12_000) // 1 : 3 : 2, the mean
	for id, want := range map[string]int{"k0": 2000, "k1": 6000, "k2": 4000} {
		if d := got[id] - want; d < -400 || d > 400 {
			t.Errorf("key %s got %d, want about %d", id, got[id], want)
		}
	}
}

// Retries leave the cursor alone, never take a key twice, and heed what the outcome says about accounts and endpoints.
func TestRetries(t *testing.T) {
	keys := pooled(1, 1, 1, 1)
	keys[1].Account = keys[0].Account
	keys[3].Endpoint = "https://other.test"
	for _, c := range []struct {
		last proxy.Outcome
		want []string // in which order the others may come after k0
	}{
		{proxy.Throttled, []string{"k2 k3", "k2 k3", "k1"}},
		{proxy.OutOfCredit, []string{"k2 k3", "k2 k3", ""}},
		{proxy.ModelDenied, []string{"k2 k3", "k2 k3", ""}},
		{proxy.Unreachable, []string{"k3", "k1 k2", "k1 k2", ""}},
		{proxy.KeyFailed, []string{"k1 k2 k3", "k1 k2 k3", "k1 k2 k3", ""}},
	} {
		b := balancerOf(t, setup{Keys: keys})
		ask := Ask{Model: "m", Tried: []*proxy.Key{keys[0]}, Last: c.last}
		for i, want := range c.want {
			p, err := b.Pick(t.Context(), ask)
			got := ""
			if err == nil {
				got = p.Key.ID
				ask.Tried = append(ask.Tried, p.Key)
				p.Close()
			}
			if (got == "") != (want == "") || !contains(want, got) {
				t.Errorf("after %s, try %d: %q, want one of %q", c.last, i+2, got, want)
			}
		}
	}
}

func contains(list, id string) bool {
	for i := 0; i+2 <= len(list); i += 3 {
		if list[i:i+2] == id {
			return true
		}
	}
	return list == id
}

func TestTripAndReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := balancerOf(t, setup{Keys: pooled(1, 1, 1)})
		defer b.Close()
		bad := only("k1", proxy.Verdict{Outcome: proxy.KeyFailed, Status: 500})
		for range 3 * policy.FailureThreshold {
			call(t, b, "m", bad)
		}
		if s := b.stateOf("k1"); s != "open" {
			t.Fatalf("key k1 is %s after %d failures", s, policy.FailureThreshold)
		}
		for rest := policy.OpenTimeout; rest < policy.MaxRest; rest *= 2 { // each failed probe doubles the rest
			time.Sleep(rest - time.Second)
			if got := shares(t, b, 30); got["k1"] != 0 {
				t.Fatalf("used %d times while it rests for %v", got["k1"], rest)
			}
			time.Sleep(2 * time.Second)
			if s := b.stateOf("k1"); s != "half-open" {
				t.Fatalf("key k1 is %s after its rest of %v", s, rest)
			}
			probes := 0
			for range 30 {
				if call(t, b, "m", bad) == "k1" {
					probes++
				}
			}
			if probes != 1 {
				t.Fatalf("%d probes after a rest of %v", probes, rest)
			}
		}
		time.Sleep(policy.MaxRest + time.Second)
		if got := shares(t, b, 30); got["k1"] != 10 {
			t.Errorf("back with %d of 30", got["k1"])
		}
		if s := b.stateOf("k1"); s != "active" {
			t.Errorf("key k1 is %s", s)
		}
	})
}

// Half of the attempts must fail: a key that mostly serves is not taken out by its volume.
func TestFailuresAmongSuccesses(t *testing.T) {
	b := balancerOf(t, setup{Keys: pooled(1, 1)})
	for i := range 400 {
		call(t, b, "m", func(id string) proxy.Verdict {
			if id == "k1" && i%10 == 1 {
				return proxy.Verdict{Outcome: proxy.KeyFailed, Status: 500}
			}
			return proxy.Verdict{Outcome: proxy.Served}
		})
	}
	if s := b.stateOf("k1"); s != "active" {
		t.Errorf("a key of which one attempt in five fails is %s", s)
	}
}

func TestOneProbeOfManyCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstate.New()
		replicas := [3]*Balancer{}
		for i := range replicas {
			replicas[i] = balancerOf(t, setup{Keys: pooled(1, 1), Store: store})
			defer replicas[i].Close()
			replicas[i].apply(state.Rest{Subject: state.Subject{Scope: proxy.ByKey, ID: "k0"}, Reason: proxy.Open,
				Since: time.Now(), Until: time.Now().Add(time.Minute)})
		}
		time.Sleep(time.Minute + time.Second)
		var mu sync.Mutex
		probes := 0
		var wg sync.WaitGroup
		for i := range 64 * len(replicas) {
			wg.Go(func() {
				p, err := replicas[i%len(replicas)].Pick(t.Context(), Ask{Model: "m"})
				if err != nil {
					t.Error(err)
					return
				}
				if p.Key.ID == "k0" {
					mu.Lock()
					probes++
					mu.Unlock()
				}
				time.Sleep(time.Second) // nobody knows yet how the probe went
				p.Report(proxy.Verdict{Outcome: proxy.Served})
				p.Close()
			})
		}
		wg.Wait()
		if probes != 1 {
			t.Errorf("%d probes of %d callers on %d replicas", probes, 64*len(replicas), len(replicas))
		}
	})
}

// An abandoned probe does not lock a key up: its claim ends.
func TestProbeThatNeverReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := balancerOf(t, setup{Keys: pooled(1, 1)})
		defer b.Close()
		b.apply(state.Rest{Subject: state.Subject{Scope: proxy.ByAccount, ID: "of-k0"}, Reason: proxy.Exhausted,
			Since: time.Now(), Until: time.Now().Add(time.Minute)})
		time.Sleep(time.Minute + time.Second)
		for range 2 {
			p, err := b.Pick(t.Context(), Ask{})
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
		}
		if got := shares(t, b, 10); got["k0"] != 0 {
			t.Fatalf("used %d times beside its probe", got["k0"])
		}
		time.Sleep(claimLife + time.Second)
		if got := shares(t, b, 10); got["k0"] == 0 {
			t.Error("never used again")
		}
	})
}

func TestCooling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := pooled(1, 1, 1)
		keys[1].Account = keys[0].Account
		b := balancerOf(t, setup{Keys: keys})
		defer b.Close()
		call(t, b, "m", is(proxy.Served))
		told := only("k1", proxy.Verdict{Outcome: proxy.Throttled, Status: 429, Wait: 20 * time.Second})
		call(t, b, "m", told)
		if got := shares(t, b, 10); got["k2"] != 10 {
			t.Errorf("the account's keys are used for the model: %v", got)
		}
		if got := call(t, b, "other", is(proxy.Served)); got == "" {
			t.Error("another model")
		}
		time.Sleep(21 * time.Second)
		if got := shares(t, b, 9); got["k0"] != 3 || got["k1"] != 3 {
			t.Errorf("after the rest: %v", got)
		}
	})
}

// Without a hint the rest doubles from a second; with an absurd one it is clamped.
func TestHowLongToCool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := balancerOf(t, setup{Keys: pooled(1, 1)})
		defer b.Close()
		subject := state.Subject{Scope: proxy.ByModel, ID: "of-k0", Model: "m"}
		k := b.view.Load().find("k0")
		for i := range 15 {
			b.put(subject, proxy.Cooling, proxy.Verdict{Outcome: proxy.Throttled})
			b.put(subject, proxy.Cooling, proxy.Verdict{Outcome: proxy.Throttled}) // the same incident
			want := min(time.Second<<i, policy.MaxRest)
			if got := time.Until(k.account.models.until("m", proxy.Cooling)); got != want {
				t.Fatalf("rest %d is %v, want %v", i, got, want)
			}
			time.Sleep(want)
		}
		b.put(subject, proxy.Cooling, proxy.Verdict{Outcome: proxy.Throttled, Wait: 1000 * time.Hour})
		if got := time.Until(k.account.models.until("m", proxy.Cooling)); got != policy.MaxRest {
			t.Errorf("told to wait 1000 hours it waits %v", got)
		}
	})
}

func TestNobodyLeft(t *testing.T) {
	rest := func(id string, scope proxy.Scope, model string, reason proxy.Reason) state.Rest {
		return state.Rest{Subject: state.Subject{Scope: scope, ID: id, Model: model}, Reason: reason, Until: time.Now().Add(time.Minute)}
	}
	for name, c := range map[string]struct {
		rests []state.Rest
		kind  proxy.Kind
	}{
		"all cool":            {[]state.Rest{rest("of-k0", proxy.ByModel, "m", proxy.Cooling), rest("of-k1", proxy.ByModel, "m", proxy.Cooling)}, proxy.RateLimited},
		"one cools, one open": {[]state.Rest{rest("of-k0", proxy.ByModel, "m", proxy.Cooling), rest("k1", proxy.ByKey, "", proxy.Open)}, proxy.NoAvailableKey},
		"one cools, one dead": {[]state.Rest{rest("of-k0", proxy.ByModel, "m", proxy.Cooling), rest("k1", proxy.ByKey, "", proxy.Invalid)}, proxy.RateLimited},
		"all out of credit":   {[]state.Rest{rest("of-k0", proxy.ByAccount, "", proxy.Exhausted), rest("of-k1", proxy.ByAccount, "", proxy.Exhausted)}, proxy.NoAvailableKey},
	} {
		t.Run(name, func(t *testing.T) {
			b := balancerOf(t, setup{Keys: pooled(1, 1)})
			for _, r := range c.rests {
				b.apply(r)
			}
			_, err := b.Pick(t.Context(), Ask{Model: "m"})
			var f *proxy.Fault
			if !errors.As(err, &f) || f.Kind != c.kind || f.RetryAfter < 50*time.Second || f.RetryAfter > time.Minute {
				t.Errorf("%+v, want %s and about a minute", f, c.kind)
			}
		})
	}
}

// Soft rests put keys last; they never leave a caller without an answer.
func TestSoftRests(t *testing.T) {
	b := balancerOf(t, setup{Keys: pooled(1, 1)})
	until := time.Now().Add(time.Hour)
	b.apply(state.Rest{Subject: state.Subject{Scope: proxy.ByModel, ID: "of-k0", Model: "m"}, Reason: proxy.Denied, Until: until})
	if got := shares(t, b, 10); got["k1"] != 10 {
		t.Errorf("shares %v", got)
	}
	b.apply(state.Rest{Subject: state.Subject{Scope: proxy.ByModel, ID: "of-k1", Model: "m"}, Reason: proxy.Denied, Until: until})
	p, err := b.Pick(t.Context(), Ask{Model: "m"})
	if err != nil || !p.Soft {
		t.Fatalf("%+v, %v", p, err)
	}
	p.Close()
}

func TestRejectedKey(t *testing.T) {
	for name, confirmed := range map[string]bool{"confirmed": true, "a false alarm": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				asked := 0
				b := balancerOf(t, setup{Keys: pooled(1, 1), Confirm: func(context.Context, *proxy.Key) proxy.Verdict {
					asked++
					time.Sleep(time.Second)
					if confirmed {
						return proxy.Verdict{Outcome: proxy.KeyRejected}
					}
					return proxy.Verdict{Outcome: proxy.Served}
				}})
				defer b.Close()
				bad := only("k0", proxy.Verdict{Outcome: proxy.KeyRejected, Status: 401})
				call(t, b, "m", bad)
				if got := shares(t, b, 10); got["k0"] != 0 {
					t.Error("used while the upstream is asked")
				}
				time.Sleep(2 * time.Second)
				want := map[bool]string{true: "invalid", false: "active"}[confirmed]
				if s := b.stateOf("k0"); s != want || asked != 1 {
					t.Errorf("key k0 is %s after %d questions, want %s", s, asked, want)
				}
			})
		})
	}
}

// If every key is refused the fault may be ours: the last one stays.
func TestLastUsableKeyStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := balancerOf(t, setup{Keys: pooled(1, 1, 1)})
		defer b.Close()
		for range 10 {
			call(t, b, "m", is(proxy.KeyRejected))
		}
		invalid := 0
		for _, s := range b.States() {
			if s.State == "invalid" {
				invalid++
			}
		}
		if invalid != 2 {
			t.Errorf("%d of 3 keys are invalid", invalid)
		}
	})
}

func TestSoleKeyNeverRests(t *testing.T) {
	b := balancerOf(t, setup{Keys: pooled(1)})
	for o := proxy.Served; o <= proxy.StreamCut; o++ {
		for range 3 * policy.FailureThreshold {
			if call(t, b, "m", is(o)) == "" {
				t.Fatalf("resting after %s", o)
			}
		}
	}
}

// The same failure on keys of two accounts is the endpoint's, unless a third was served there meanwhile.
func TestEndpointIsToBlame(t *testing.T) {
	failed := proxy.Verdict{Outcome: proxy.KeyFailed, Status: 500}
	everything := func(string) proxy.Verdict { return failed }
	b := balancerOf(t, setup{Keys: pooled(1, 1, 1)})
	for range 60 {
		call(t, b, "m", everything)
	}
	for _, s := range b.States() {
		if s.State != "active" {
			t.Errorf("in an outage of the endpoint key %s is %s", s.Key.ID, s.State)
		}
	}
	b = balancerOf(t, setup{Keys: pooled(1, 1, 1)})
	for range 60 {
		call(t, b, "m", func(id string) proxy.Verdict {
			if id == "k2" {
				return proxy.Verdict{Outcome: proxy.Served}
			}
			return failed
		})
	}
	if a, c := b.stateOf("k0"), b.stateOf("k1"); a != "open" || c != "open" {
		t.Errorf("two bad keys beside a good one are %s and %s", a, c)
	}
}

func TestWithdrawnFailuresBlameNobody(t *testing.T) {
	b := balancerOf(t, setup{Keys: pooled(1, 1)})
	for range 100 {
		p, err := b.Pick(t.Context(), Ask{Model: "m"})
		if err != nil {
			t.Fatal(err)
		}
		p.Withdraw()
		p.Report(proxy.Verdict{Outcome: proxy.KeyFailed, Status: 500}) // too late
		p.Close()
	}
	if got := shares(t, b, 10); got["k0"] != 5 || got["k1"] != 5 {
		t.Errorf("shares %v", got)
	}
}

func TestRestore(t *testing.T) {
	store := memstate.New()
	first := started(quiet(setup{Keys: pooled(1, 1, 1), Store: store}))
	call(t, first, "m", is(proxy.Served))
	call(t, first, "m", only("k1", proxy.Verdict{Outcome: proxy.OutOfCredit, Status: 402}))
	first.Close()
	second := balancerOf(t, setup{Keys: pooled(1, 1, 1), Store: store})
	if s := second.stateOf("k1"); s != "exhausted" {
		t.Errorf("key k1 is %s after the restart", s)
	}
	if got := call(t, second, "m", is(proxy.Served)); got != "k2" {
		t.Errorf("the rotation goes on with %s", got)
	}
}

// A cursor that does not answer costs the exactness, not the service.
func TestWithoutTheState(t *testing.T) {
	b := balancerOf(t, setup{Keys: pooled(1, 1, 1), Store: away{memstate.New()}})
	if got := shares(t, b, 30); got["k0"] != 10 || got["k1"] != 10 || got["k2"] != 10 {
		t.Errorf("shares %v", got)
	}
}

// away has no cursor.
type away struct{ *memstate.Store }

func (away) Advance(context.Context, string, int64) (int64, error) { return 0, state.ErrUnavailable }

func TestModelsOfAnAccountAreBounded(t *testing.T) {
	b := balancerOf(t, setup{Keys: pooled(1, 1)})
	for i := range 5 * modelsKept {
		b.put(state.Subject{Scope: proxy.ByModel, ID: "of-k0", Model: fmt.Sprint(i)}, proxy.Denied, proxy.Verdict{Outcome: proxy.ModelDenied})
	}
	if n := b.known.account("of-k0").models.count.Load(); n > modelsKept {
		t.Errorf("%d models remembered", n)
	}
}

func BenchmarkPick(b *testing.B) {
	many := make([]int64, 10_000)
	for i := range many {
		many[i] = int64(i%1000) + 1
	}
	for _, strategy := range strategiesOf {
		for _, resting := range []int{0, 50} {
			b.Run(fmt.Sprintf("%s/%d%%-resting", strategy, resting), func(b *testing.B) {
				bal := started(quiet(setup{Keys: pooled(many...), Strategy: string(strategy)}))
				defer bal.Close()
				for i, k := range bal.view.Load().keys {
					if i%100 < resting {
						k.rest.set(state.Rest{Reason: proxy.Open, Until: time.Now().Add(time.Hour)})
					}
				}
				b.ReportAllocs()
				for b.Loop() {
					p, err := bal.Pick(b.Context(), Ask{Model: "m"})
					if err != nil {
						b.Fatal(err)
					}
					p.Close()
				}
			})
		}
	}
}

var strategiesOf = []strategy{roundRobin, random, weighted, byQuota, leastBusy}

// Finding a key allocates nothing, however many there are; what a Pick itself allocates does not grow with them.
func TestSearchAllocatesNothing(t *testing.T) {
	many := make([]int64, 10_000)
	for i := range many {
		many[i] = int64(i%1000) + 1
	}
	for _, strategy := range strategiesOf {
		b := balancerOf(t, setup{Keys: pooled(many...), Strategy: string(strategy)})
		for i, k := range b.view.Load().keys {
			if i%2 == 0 {
				k.rest.set(state.Rest{Reason: proxy.Open, Until: time.Now().Add(time.Hour)})
			}
		}
		v := b.view.Load()
		p := v.pools.of(v, served{model: "m"})
		now := time.Now().UnixNano()
		p.leftover(now)
		n := testing.AllocsPerRun(100, func() {
			s := search{view: v, pool: p, ask: Ask{Model: "m"}, now: now, position: v.position(t.Context(), p, false)}
			if k, _ := s.find(); k == nil {
				t.Fatal("no key")
			}
		})
		if n > 0 {
			t.Errorf("%s: %v allocations", strategy, n)
		}
	}
}
