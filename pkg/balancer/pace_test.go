package balancer

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"pgregory.net/rapid"

	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
	"openai-api-proxy/pkg/state/memstate"
)

// left is an answer that says how many requests are left of a limit of 60 in a minute: one comes back each second.
func left(n int64) proxy.Verdict {
	return proxy.Verdict{Outcome: proxy.Served, Status: 200, Allowance: proxy.Allowance{Requests: level(60, n, time.Duration(60-n)*time.Second)}}
}

// none is an answer that says that nothing is left for a time.
func none(wait time.Duration) proxy.Verdict {
	return proxy.Verdict{Outcome: proxy.Served, Status: 200, Allowance: proxy.Allowance{Requests: level(1, 0, wait)}}
}

func level(limit, left int64, reset time.Duration) proxy.Level {
	return proxy.Level{Known: true, Limit: limit, Left: left, Reset: reset}
}

// answeredBy picks until a key is picked, reports the verdict for it and nothing for the others.
func answeredBy(t testing.TB, b *Balancer, id string, v proxy.Verdict) {
	t.Helper()
	for range 100 {
		if call(t, b, "m", only(id, v)) == id {
			return
		}
	}
	t.Fatalf("%s is never picked", id)
}

// slowedFor is how long others go first.
func (b *Balancer) slowedFor(account string) time.Duration {
	return max(time.Until(b.known.account(account).pace.slowed.end("m")), 0)
}

// slowedCount is how often that began here.
func (b *Balancer) slowedCount() (n float64) {
	families, _ := b.Metrics.(*prometheus.Registry).Gather()
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "oap_key_rests_total" && m.GetLabel()[0].GetValue() == "slowed" {
				n = m.GetCounter().GetValue()
			}
		}
	}
	return n
}

// What has nothing left is left alone until it has something again, for the model and all keys of the account.
func TestSlowedBeforeItRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := pooled(1, 1, 1)
		keys[1].Account = keys[0].Account
		b := balancerOf(t, setup{Keys: keys})
		defer b.Close()
		answeredBy(t, b, "k0", left(1))
		if got := b.slowedFor("of-k0"); got != 0 {
			t.Errorf("slowed for %v although one is left", got)
		}
		answeredBy(t, b, "k1", left(0))
		if got := b.slowedFor("of-k0"); got != time.Second {
			t.Errorf("slowed for %v, want the second in which one comes back", got)
		}
		if got := shares(t, b, 10); got["k2"] != 10 {
			t.Errorf("while the account is slowed: %v", got)
		}
		if p, err := b.Pick(t.Context(), Ask{Model: "other"}); err != nil || p.Key.ID == "k2" && call(t, b, "other", is(proxy.Served)) == "k2" {
			t.Errorf("another model: %v", err)
		} else {
			p.Close()
		}
		if got := b.stateOf("k0"); got != Active {
			t.Errorf("it could be used, and is %s", got)
		}
		time.Sleep(time.Second)
		if got := shares(t, b, 9); got["k0"] != 3 || got["k1"] != 3 {
			t.Errorf("afterwards: %v", got)
		}
		if got := b.slowedCount(); got != 1 {
			t.Errorf("counted %v times", got)
		}
	})
}

// When all are slowed the shares are as if none were, and the picks are no last resorts.
func TestAllAreSlowed(t *testing.T) {
	for _, strategy := range strategiesOf {
		t.Run(string(strategy), func(t *testing.T) {
			b := balancerOf(t, setup{Keys: pooled(1, 1, 1), Strategy: string(strategy)})
			for i := range 3 {
				answeredBy(t, b, fmt.Sprintf("k%d", i), left(0))
			}
			got := map[string]int{}
			for range 300 {
				p, err := b.Pick(t.Context(), Ask{Model: "m"})
				if err != nil || p.Soft {
					t.Fatalf("%+v, %v", p, err)
				}
				got[p.Key.ID]++
				p.Close()
			}
			for id, n := range got {
				if exact := strategy == roundRobin || strategy == weighted; exact && n != 100 || n < 50 {
					t.Errorf("%s: %d of 300", id, n)
				}
			}
		})
	}
}

// A slowed key goes before one of an endpoint that rests, behind one that is well, also for second tries; what must not be
// used stays so.
func TestSlowedAmongOthers(t *testing.T) {
	keys := pooled(1, 1, 1, 1)
	keys[1].Endpoint = "https://failing.test"
	b := balancerOf(t, setup{Keys: keys})
	answeredBy(t, b, "k0", left(0))
	b.apply(state.Rest{Subject: state.Subject{Scope: proxy.ByEndpoint, ID: keys[1].Endpoint}, Reason: proxy.Busy, Until: time.Now().Add(time.Hour)})
	b.rests("k2", proxy.Open)
	b.apply(state.Rest{Subject: b.known.account("of-k2").pacedAt("m"), Reason: proxy.Slowed, Until: time.Now().Add(time.Hour)})
	ask := Ask{Model: "m"}
	for _, want := range []string{"k3", "k0", "k1", ""} {
		p, err := b.Pick(t.Context(), ask)
		if err != nil {
			if want != "" {
				t.Fatalf("no key, want %s: %v", want, err)
			}
			break
		}
		if p.Key.ID != want || p.Soft != (want == "k1") {
			t.Fatalf("%s, soft %v, want %q", p.Key.ID, p.Soft, want)
		}
		ask.Tried, ask.Last = append(ask.Tried, p.Key), proxy.Throttled
		p.Close()
	}
	e := b.view.Load().Explain(Ask{Model: "m"}, nil)
	if e.Counts["slowed"] != 1 || e.Keys[1].Key != "k0" || e.Keys[1].Until == nil {
		t.Errorf("explained as %+v", e)
	}
}

// What others use between two answers counts; what was seen once is forgotten slowly.
func TestStepsAreLearned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := balancerOf(t, setup{Keys: pooled(1, 1)})
		defer b.Close()
		n := int64(60)
		for ; n >= 15; n -= 5 { // four others, or four of other replicas, between two of ours
			answeredBy(t, b, "k0", left(n))
		}
		answeredBy(t, b, "k0", left(n)) // 10
		if got := b.slowedFor("of-k0"); got != 0 {
			t.Errorf("slowed for %v with two steps left", got)
		}
		answeredBy(t, b, "k0", left(4))
		if got := b.slowedFor("of-k0"); got < time.Second || got > 2*time.Second {
			t.Errorf("slowed for %v, want what is missing of five", got)
		}
	})
}

// A replica that is answered once a minute sees much go through in between, and slows nobody for it.
func TestRareAnswersSlowNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := balancerOf(t, setup{Keys: pooled(1, 1)})
		defer b.Close()
		for range 20 {
			answeredBy(t, b, "k0", left(59))
			time.Sleep(time.Minute)
			answeredBy(t, b, "k0", left(5)) // others used 54, and the minute's 60
			time.Sleep(time.Minute)
		}
		if got := b.slowedCount(); got != 0 {
			t.Errorf("slowed %v times", got)
		}
	})
}

// Of tokens a step is what a request costs, however long ago the one before was.
func TestTokensAreLearned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := balancerOf(t, setup{Keys: pooled(1, 1)})
		defer b.Close()
		const limit = 60_000 // one comes back each ms
		for n := int64(limit); n >= 10_000; n -= 5_000 {
			v := left(59)
			v.Allowance.Tokens = level(limit, n, time.Duration(limit-n)*time.Millisecond)
			answeredBy(t, b, "k0", v)
			time.Sleep(5 * time.Second) // 5,000 come back: each request costs 10,000
		}
		v := left(59)
		v.Allowance.Tokens = level(limit, 5_000, 55*time.Second)
		answeredBy(t, b, "k0", v)
		if got := b.slowedFor("of-k0"); got < 4800*time.Millisecond || got > 5*time.Second {
			t.Errorf("slowed for %v, want the five seconds in which the missing 5,000 come back", got)
		}
	})
}

// However often it is told, the rest neither doubles nor grows beyond what is missing; it has its bounds.
func TestSlowedForAsLongAsIsMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := balancerOf(t, setup{Keys: pooled(1, 1)})
		defer b.Close()
		a := b.known.account("of-k0")
		for range 50 {
			for range 3 {
				b.slow(a, "m", time.Second)
			}
			if got := b.slowedFor(a.id); got != time.Second {
				t.Fatalf("slowed for %v", got)
			}
			time.Sleep(time.Second)
		}
		if got := b.slowedCount(); got != 50 {
			t.Errorf("counted %v times", got)
		}
		for wait, want := range map[time.Duration]time.Duration{1: shortestSlowed, 100 * time.Hour: policy.MaxRest} {
			if b.slow(a, "m", wait); b.slowedFor(a.id) != want {
				t.Errorf("slowed for %v, want %v", b.slowedFor(a.id), want)
			}
			time.Sleep(want)
		}
	})
}

// A step that is larger than the limit asks for all of it, not for what can never be; a large one is forgotten slowly.
func TestStepsThatWereLarge(t *testing.T) {
	f := flow{heard: true, left: 60}
	for range 10 {
		l := level(60, 20, 40*time.Second)
		f.learn(&l, 40)
	}
	one := level(60, 30, 30*time.Second)
	f.learn(&one, 1)
	if got := f.wait(&one); got < 4*time.Second || got > 6*time.Second {
		t.Errorf("after a small step: %v for the missing five", got)
	}
	small := level(3, 1, 2*time.Second)
	if got := f.wait(&small); got != 2*time.Second {
		t.Errorf("of a limit of three: %v, want the two seconds in which all is back", got)
	}
	for range 40 {
		f.learn(&one, 1)
	}
	if got := f.wait(&one); got != 0 {
		t.Errorf("after many small steps: %v", got)
	}
}

// What only adds a little to what is in force is neither told nor counted, what adds much is told.
func TestSlowedALittleLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstate.New()
		b := balancerOf(t, setup{Keys: pooled(1, 1), Store: store})
		defer b.Close()
		told := func() time.Duration {
			synctest.Wait()
			rests, _ := store.Rests(t.Context())
			return time.Until(rests[0].Until)
		}
		for _, c := range []struct{ wait, want time.Duration }{{time.Second, time.Second}, {1200 * time.Millisecond, time.Second}, {2 * time.Second, 2 * time.Second}} {
			if b.slow(b.known.account("of-k0"), "m", c.wait); told() != c.want {
				t.Errorf("after %v the fleet heard of %v, want %v", c.wait, told(), c.want)
			}
		}
		if got := b.slowedCount(); got != 1 {
			t.Errorf("counted %v times", got)
		}
	})
}

// What the fleet told of is ended only by a request that began after it, and counts for keys that come later.
func TestSlowedByTheFleet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := pooled(1, 1, 1)
		b := balancerOf(t, setup{Keys: keys[:2]})
		defer b.Close()
		p, err := b.Pick(t.Context(), Ask{Model: "m"})
		if err != nil || p.Key.ID != "k0" {
			t.Fatalf("%v %v", p, err)
		}
		time.Sleep(time.Second)
		var rests []state.Rest
		for _, id := range []string{"of-k0", "of-k2"} {
			rests = append(rests, state.Rest{Subject: state.Subject{Scope: proxy.ByPace, ID: id, Model: "m"}, Reason: proxy.Slowed,
				Since: time.Now(), Until: time.Now().Add(time.Minute)})
		}
		b.Sync(rests)
		p.Report(left(50))
		p.Close()
		if got := b.slowedFor("of-k0"); got != time.Minute {
			t.Errorf("slowed for %v after an answer to a request that began before", got)
		}
		b.Configure(setup{Keys: keys, Strategy: "roundrobin", Policy: policy}.pool())
		if got := b.slowedFor("of-k2"); got != time.Minute {
			t.Errorf("a key that came later is slowed for %v", got)
		}
	})
}

// What a 429 began stays hard however the headers stand, and ends with its own success; being slowed does not end with it.
func TestSlowedBesideCooling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := balancerOf(t, setup{Keys: pooled(1, 1)})
		defer b.Close()
		early, err := b.Pick(t.Context(), Ask{Model: "m"})
		if err != nil || early.Key.ID != "k0" {
			t.Fatalf("%v %v", early, err)
		}
		time.Sleep(time.Millisecond)
		call(t, b, "m", is(proxy.Served))
		answeredBy(t, b, "k0", none(30*time.Second))
		answeredBy(t, b, "k1", proxy.Verdict{Outcome: proxy.Throttled, Status: 429, Wait: 5 * time.Second})
		if got := shares(t, b, 10); got["k0"] != 10 {
			t.Errorf("one cools and one is slowed: %v", got)
		}
		b.put(state.Subject{Scope: proxy.ByModel, ID: "of-k0", Model: "m"}, proxy.Cooling, proxy.Verdict{Outcome: proxy.Throttled, Wait: 5 * time.Second})
		if got := call(t, b, "m", is(proxy.Served)); got != "" {
			t.Errorf("%s is used while it cools", got)
		}
		early.Report(left(50)) // it began before anything was known
		early.Close()
		if got := b.slowedFor("of-k0"); got < 29*time.Second {
			t.Errorf("woken by an answer to a request that began before: %v", got)
		}
		time.Sleep(6 * time.Second)
		if got := shares(t, b, 10); got["k1"] != 10 {
			t.Errorf("after cooling: %v", got)
		}
	})
}

// A later answer that finds enough ends it, for the others too.
func TestHastened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstate.New()
		b, other := balancerOf(t, setup{Keys: pooled(1, 1), Store: store}), balancerOf(t, setup{Keys: pooled(1, 1), Store: store})
		defer b.Close()
		defer other.Close()
		sync := func() {
			synctest.Wait()
			rests, _ := store.Rests(t.Context())
			other.Sync(rests)
		}
		for i := range 2 {
			answeredBy(t, b, fmt.Sprintf("k%d", i), none(time.Minute))
		}
		sync()
		if got := other.slowedFor("of-k0"); got != time.Minute {
			t.Fatalf("the other slows it for %v", got)
		}
		time.Sleep(time.Second)
		answeredBy(t, b, "k0", left(3))
		sync()
		if a, c := b.slowedFor("of-k0"), other.slowedFor("of-k0"); a != 0 || c != 0 {
			t.Errorf("still slowed for %v and %v", a, c)
		}
		if got := b.slowedFor("of-k1"); got < 58*time.Second {
			t.Errorf("so is another one: %v", got)
		}
	})
}

// Rests that follow one another within less than a second are all heard of.
func TestFleetHearsOfShortRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstate.New()
		b, other := balancerOf(t, setup{Keys: pooled(1, 1), Store: store}), balancerOf(t, setup{Keys: pooled(1, 1), Store: store})
		defer b.Close()
		defer other.Close()
		for i := range 20 {
			b.slow(b.known.account("of-k0"), "m", 100*time.Millisecond)
			synctest.Wait()
			rests, _ := store.Rests(t.Context())
			other.Sync(rests)
			if got := shares(t, other, 6); got["k1"] != 6 {
				t.Fatalf("rest %d is not kept by the other: %v", i, got)
			}
			time.Sleep(110 * time.Millisecond)
			if got := shares(t, other, 6); got["k0"] != 3 {
				t.Fatalf("rest %d goes on: %v", i, got)
			}
		}
		if got := other.slowedCount(); got != 0 {
			t.Errorf("what others began is counted %v times", got)
		}
		b.slow(b.known.account("of-k0"), "m", time.Minute)
		synctest.Wait()
		store.Wake(t.Context(), b.known.account("of-k0").pacedAt("m")) // the state has forgotten
		b.Retell()
		synctest.Wait()
		if rests, _ := store.Rests(t.Context()); len(rests) != 1 || rests[0].Reason != proxy.Slowed {
			t.Errorf("told again: %v", rests)
		}
	})
}

// Neither a pool of one, nor an answer that says nothing, nor one that is not about an account's use, slows anybody.
func TestNobodyIsSlowed(t *testing.T) {
	b := balancerOf(t, setup{Keys: pooled(1)})
	if got := shares(t, b, 3); got["k0"] != 3 {
		t.Errorf("%v", got)
	}
	answeredBy(t, b, "k0", left(0))
	if got := b.slowedFor("of-k0"); got != 0 {
		t.Errorf("a sole key is slowed for %v", got)
	}
	b = balancerOf(t, setup{Keys: pooled(1, 1)})
	shares(t, b, 10)
	if b.known.account("of-k0").pace.models != nil {
		t.Error("something was learned from answers that said nothing")
	}
	for o := proxy.Served; o <= proxy.StreamCut; o++ {
		if o == proxy.Served || o == proxy.CallerFault {
			continue
		}
		p, err := b.Pick(t.Context(), Ask{Model: fmt.Sprint(o)})
		if err != nil {
			continue
		}
		v := left(0)
		v.Outcome = o
		p.Report(v)
		p.Close()
	}
	if got := b.slowedCount(); got != 0 {
		t.Errorf("slowed %v times", got)
	}
	b = balancerOf(t, setup{Keys: pooled(1, 1)})
	p, err := b.Pick(t.Context(), Ask{Model: "m"})
	if err != nil {
		t.Fatal(err)
	}
	v := left(0)
	v.Outcome, v.Status = proxy.CallerFault, 400
	p.Report(v)
	p.Close()
	if got := b.slowedCount(); got != 1 {
		t.Errorf("an answer to a bad request counts %v times, and it was counted upstream", got)
	}
}

func TestSlowedIsForgottenByHand(t *testing.T) {
	b := balancerOf(t, setup{Keys: pooled(1, 1)})
	answeredBy(t, b, "k0", none(time.Minute))
	if b.Reset("k0"); b.slowedFor("of-k0") != 0 {
		t.Error("still slowed")
	}
}

// What the fleet is told is bounded, however many accounts are slowed; here they all are.
func TestTellingOfManyIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstate.New()
		b := balancerOf(t, setup{Keys: pooled(make([]int64, 500)...), Store: store})
		defer b.Close()
		told := func() int {
			synctest.Wait()
			rests, _ := store.Rests(t.Context())
			return len(rests)
		}
		slow := func(from, to int) {
			for _, k := range b.view.Load().keys[from:to] {
				b.slow(k.account, "m", time.Minute)
			}
		}
		slow(0, 300)
		if got := told(); got < 1 || got > spareAtOnce+1 {
			t.Errorf("%d of 300 were told at once, want %d", got, spareAtOnce)
		}
		before := told()
		time.Sleep(10 * spareEvery)
		slow(300, 500)
		if got := told() - before; got < 1 || got > 10 {
			t.Errorf("%d of 200 were told after the time of 10", got)
		}
		for _, k := range b.view.Load().keys {
			if !k.account.pace.slowed.resting("m", time.Now().UnixNano()) {
				t.Fatalf("%s is not slowed here", k.ID)
			}
		}
	})
}

// Names of models come from callers.
func TestPacesAreBounded(t *testing.T) {
	b := balancerOf(t, setup{Keys: pooled(1, 1)})
	for i := range 5 * modelsKept {
		call(t, b, fmt.Sprint(i), func(string) proxy.Verdict { return left(0) })
	}
	a := b.known.account("of-k0")
	if n, slowed := len(a.pace.models), a.pace.slowed.count.Load(); n > modelsKept || slowed > modelsKept {
		t.Errorf("%d models learned, %d slowed", n, slowed)
	}
}

// It happens all the time: nobody is told who does not ask for it.
func TestSlowedQuietly(t *testing.T) {
	for level, want := range map[slog.Level]bool{slog.LevelInfo: false, slog.LevelDebug: true} {
		var logs bytes.Buffer
		b := New(Options{Store: memstate.New(), Log: slog.New(slog.NewTextHandler(&logs, &slog.HandlerOptions{Level: level})), Metrics: prometheus.NewRegistry()})
		b.Configure(quiet(setup{Keys: pooled(1, 1)}).pool())
		answeredBy(t, b, "k0", left(0))
		b.Close()
		if got := strings.Contains(logs.String(), "slowed"); got != want {
			t.Errorf("at %s: %q", level, logs.String())
		}
	}
}

// Whatever an upstream says, what follows from it can be reckoned with.
func TestPacesAreSane(t *testing.T) {
	limits := rapid.Custom(func(t *rapid.T) proxy.Level {
		limit := rapid.Int64Range(1, math.MaxInt64).Draw(t, "limit")
		if rapid.Bool().Draw(t, "small") {
			limit = limit%100 + 1
		}
		return proxy.Level{Known: rapid.Bool().Draw(t, "known"), Limit: limit, Left: rapid.Int64Range(0, limit).Draw(t, "left"),
			Reset: time.Duration(rapid.Int64Range(0, int64(366*24*time.Hour)).Draw(t, "reset"))}
	})
	rapid.Check(t, func(t *rapid.T) {
		var p paces
		now := time.Now().UnixNano()
		for range rapid.IntRange(1, 20).Draw(t, "answers") {
			a := proxy.Allowance{Requests: limits.Draw(t, "requests"), Tokens: limits.Draw(t, "tokens")}
			began := now + rapid.Int64Range(-1e9, 1e12).Draw(t, "after")
			wait, fresh := p.heed("m", began, &a)
			if wait < 0 || wait > 0 && !fresh {
				t.Fatalf("waits %v after %+v", wait, a)
			}
			for l, f := range map[proxy.Level]flow{a.Requests: p.models["m"].requests, a.Tokens: p.models["m"].tokens} {
				if !(f.step >= 0 && f.step <= math.MaxInt64) {
					t.Fatalf("a step of %v after %+v", f.step, l)
				}
				if covers := float64(l.Left) >= max(f.step, 1); fresh && l.Known && covers && f.wait(&l) != 0 {
					t.Fatalf("waits although %+v covers %v", l, f.step)
				}
			}
		}
	})
}

// An answer of a busy upstream costs no allocation, and neither does stepping over who is slowed.
func TestPaceAllocatesNothing(t *testing.T) {
	b := balancerOf(t, setup{Keys: pooled(make([]int64, 1000)...)})
	p, err := b.Pick(t.Context(), Ask{Model: "m"})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	v := left(30)
	if n := testing.AllocsPerRun(100, func() { p.heed(&v.Allowance) }); n > 0 {
		t.Errorf("%v allocations for an answer", n)
	}
	for i, k := range b.view.Load().keys {
		if i%2 == 0 {
			k.account.pace.slowed.set(state.Rest{Subject: k.account.pacedAt("m"), Reason: proxy.Slowed, Until: time.Now().Add(time.Hour)})
		}
	}
	view := b.view.Load()
	pool := view.pools.of(view, served{model: "m"})
	now, position := time.Now().UnixNano(), int64(0)
	if n := testing.AllocsPerRun(100, func() {
		position++
		s := search{view: view, pool: pool, ask: Ask{Model: "m"}, now: now, position: position}
		if k, _ := s.find(); k == nil || k.account.pace.slowed.resting("m", now) {
			t.Fatal("a slowed one")
		}
	}); n > 0 {
		t.Errorf("%v allocations for a pick", n)
	}
}

func BenchmarkReport(b *testing.B) {
	for name, v := range map[string]proxy.Verdict{"silent": {Outcome: proxy.Served}, "told": left(50)} {
		b.Run(name, func(b *testing.B) {
			bal := started(quiet(setup{Keys: pooled(1, 1, 1)}))
			defer bal.Close()
			b.ReportAllocs()
			for b.Loop() {
				p, err := bal.Pick(context.Background(), Ask{Model: "m"})
				if err != nil {
					b.Fatal(err)
				}
				p.Report(v)
				p.Close()
			}
		})
	}
}
