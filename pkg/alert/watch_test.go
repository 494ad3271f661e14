package alert

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/redistest"
	"openai-api-proxy/pkg/state"
	"openai-api-proxy/pkg/state/memstate"
	"openai-api-proxy/pkg/state/redisstate"
	"openai-api-proxy/pkg/state/statetest"
)

func openRedis(t *testing.T, server *redistest.Server) *redisstate.Store {
	t.Helper()
	redisstate.Quiet()
	s, err := redisstate.Open(server.URL(), "oap", "v", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// Three replicas see the same, and one of them tells.
func TestOnceInTheFleet(t *testing.T) {
	server, hook := redistest.Start(t), newReceiver(t)
	f := &facts{settings: Settings{Shares: []int64{800, 1000}, Webhook: hook.url()}, keys: []Key{{ID: "k1", Usable: true}, {ID: "k2", Pool: "eu", Usable: true}}}
	var logs []*lockedBuffer
	for _, id := range []string{"r1", "r2", "r3"} {
		o, log := f.options(openRedis(t, server), id)
		w := New(o)
		t.Cleanup(func() { w.Close() })
		logs = append(logs, log)
	}
	f.set(func(f *facts) { f.quotas = []Quota{tokens("a", 79, 100), tokens("b", 80, 100)} })
	hook.hears(t, "quota_reached b tokens/day 0.8")
	f.set(func(f *facts) { f.quotas = []Quota{tokens("a", 101, 100), tokens("b", 85, 100)} })
	want := []string{"quota_reached b tokens/day 0.8", "quota_reached a tokens/day 0.8", "quota_reached a tokens/day 1"}
	hook.hears(t, want...)

	f.set(func(f *facts) { f.keys = []Key{{ID: "k1", State: proxy.Invalid}, {ID: "k2", Pool: "eu", Usable: true}} })
	want = append(want, "key_invalid k1", "pool_empty pool ")
	hook.hears(t, want...)
	f.set(func(f *facts) { f.keys[0] = Key{ID: "k1", Proving: true, Usable: true} })
	want = append(want, "pool_recovered pool ")
	hook.hears(t, want...)
	f.set(func(f *facts) { f.keys[0] = Key{ID: "k1", State: "active", Usable: true} })
	want = append(want, "key_recovered k1")
	hook.hears(t, want...)
	f.set(func(f *facts) { f.keys[0] = Key{ID: "k1", State: proxy.Invalid} })
	hook.hears(t, append(want, "key_invalid k1", "pool_empty pool ")...)

	hook.mu.Lock()
	defer hook.mu.Unlock()
	if all := strings.Join(hook.bodies, "\n"); strings.Contains(all, token) {
		t.Error("the webhook's own token is in a body")
	}
	told := 0
	for _, log := range logs {
		told += strings.Count(log.String(), `"msg":"alert"`)
		if strings.Contains(log.String(), token) {
			t.Error("the webhook's token is in a log")
		}
	}
	if told != len(want)+2 {
		t.Errorf("%d lines in all logs, want %d", told, len(want)+2)
	}
}

// looked is a Watch that looks when it is told to, at an embedded state.
func looked(t *testing.T, f *facts, store state.Alerts) (*Watch, *lockedBuffer, func(time.Time)) {
	t.Helper()
	o, log := f.options(store, "r1")
	o.Lasts, o.Well = 5*time.Second, 30*time.Second
	w := newWatch(o)
	t.Cleanup(func() { w.Close() })
	return w, log, w.look
}

func names(t *testing.T, s state.Alerts) (all []string) {
	t.Helper()
	told, err := s.Told(context.Background(), "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	for i := len(told) - 1; i >= 0; i-- {
		all = append(all, told[i].Name)
	}
	return all
}

// A pool that runs dry for a moment, and a key that comes and goes, are not told of each time.
func TestWhatComesAndGoes(t *testing.T) {
	f, s, now := &facts{}, memstate.New(), time.Now()
	_, _, look := looked(t, f, s)
	step := func(after time.Duration, k Key, told int) {
		t.Helper()
		now = now.Add(after)
		f.set(func(f *facts) { f.keys = []Key{k, {ID: "twin", State: proxy.Open}} })
		look(now)
		if got := names(t, s); len(got) != told {
			t.Errorf("told were %q, want %d", got, told)
		}
	}
	well, cooling := Key{ID: "k", Usable: true, State: "active"}, Key{ID: "k", State: proxy.Cooling}
	step(0, well, 0)
	step(time.Second, cooling, 0)
	step(4*time.Second, cooling, 0)
	step(time.Second, well, 0)
	step(time.Second, cooling, 0)
	step(6*time.Second, cooling, 1) // five seconds after the last moment
	for range 3 {                   // as long as it does not recover for long enough, it is one
		step(20*time.Second, well, 1)
		step(time.Second, cooling, 1)
	}
	step(time.Second, well, 1)
	step(31*time.Second, well, 2)
	spent, unpaid := Key{ID: "k", State: proxy.Exhausted, Spent: true, Usable: true}, Key{ID: "k", State: proxy.Exhausted, Usable: true}
	step(time.Second, spent, 2) // by its own quota, which is told as such
	step(time.Second, unpaid, 3)
	step(time.Hour, Key{ID: "k", Proving: true, Usable: true}, 3)
	step(time.Hour, unpaid, 3)
	step(time.Second, Key{ID: "other", Usable: true}, 3) // it is configured no more
	step(time.Minute, Key{ID: "other", Usable: true}, 4)
}

// A single key that rests only is used all the same, so its pool is not empty; one that is refused or disabled is not.
func TestPoolOfOneKey(t *testing.T) {
	f, s, now := &facts{}, memstate.New(), time.Now()
	_, _, look := looked(t, f, s)
	for i, c := range []struct {
		state proxy.Reason
		told  int
	}{{proxy.Cooling, 0}, {proxy.Open, 0}, {"disabled", 1}} {
		f.set(func(f *facts) { f.keys = []Key{{ID: "k", State: c.state}} })
		for n := range 3 {
			look(now.Add(time.Duration(10*i+5*n) * time.Minute))
		}
		if got := names(t, s); len(got) != c.told {
			t.Errorf("%s: told were %q", c.state, got)
		}
	}
}

// What lasted when its replica went is ended by another one, and not told anew by one that starts.
func TestWhatLastsLongerThanAReplica(t *testing.T) {
	f, s, now := &facts{keys: []Key{{ID: "k", State: proxy.Invalid}, {ID: "l", State: proxy.Invalid, Usable: true}}}, memstate.New(), time.Now()
	_, _, first := looked(t, f, s)
	first(now)
	f.set(func(f *facts) { f.keys[0] = Key{ID: "k", Usable: true} })
	_, _, second := looked(t, f, s)
	second(now)
	second(now.Add(29 * time.Second))
	if got := names(t, s); len(got) != 2 {
		t.Errorf("told were %q", got)
	}
	second(now.Add(31 * time.Second))
	if got := names(t, s); len(got) != 3 || got[2] != "key_invalid/k" {
		t.Errorf("told were %q", got)
	}
	first(now.Add(31 * time.Second))
	first(now.Add(62 * time.Second))
	if got := names(t, s); len(got) != 3 {
		t.Errorf("it is ended twice: %q", got)
	}
}

func TestSharesOfQuotas(t *testing.T) {
	now := time.Date(2027, 3, 15, 12, 0, 0, 0, time.UTC)
	dollars := Quota{Of: OfClient, ID: "c", Limit: "usd/month", Budget: proxy.Budget{Measure: proxy.Dollars, Limit: 20_500_000_000, Period: proxy.Month},
		Used: 16_500_000_000, Start: proxy.Month.Start(now), Resets: proxy.Month.End(now)}
	always := Quota{Of: OfKey, ID: "k", Limit: "requests/total", Budget: proxy.Budget{Measure: proxy.Requests, Limit: 5, Period: proxy.Total}, Used: 5}
	minute := Quota{Of: OfClient, ID: "c", Limit: "requests/minute", Budget: proxy.Budget{Measure: proxy.Requests, Limit: 5, Period: proxy.Minute}, Used: 5}
	shared := Quota{Of: OfAccount, ID: "c", Limit: "usd/month", Budget: dollars.Budget, Used: 11_000_000_000, Start: dollars.Start}
	f, s := &facts{settings: Settings{Shares: []int64{500, 800, 1000}}, quotas: []Quota{dollars, always, minute, shared}}, memstate.New()
	_, _, look := looked(t, f, s)
	look(now)
	look(now.Add(time.Second))
	if got := names(t, s); len(got) != 6 {
		t.Errorf("told were %q", got)
	}
	all, _ := s.Told(t.Context(), "", 100)
	text := ""
	for _, a := range all {
		text += string(a.Text) + "\n"
	}
	for _, want := range []string{`"text":"client c has used 80 % of its quota of 20.5 dollars per month"`,
		`"quota":{"limit":"usd/month","share":0.8,"used":16.5,"most":20.5,"since":"2027-03-01T00:00:00Z","resetsAt":"2027-04-01T00:00:00Z"}`,
		`"text":"account c has used 50 % of its quota of 20.5 dollars per month","account":"c"`,
		`"text":"key k has used 100 % of its quota of 5 requests in total"`, `"since":null,"resetsAt":null}`} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	// A quota of another size, and the next period, are told of anew.
	for i, next := range []func(q *Quota){
		func(q *Quota) { q.Budget.Limit = 30_000_000_000 },
		func(q *Quota) { q.Start, q.Resets = q.Resets, proxy.Month.End(q.Resets) },
	} {
		next(&dollars)
		f.set(func(f *facts) { f.quotas = []Quota{dollars} })
		look(now.Add(time.Minute))
		if got := names(t, s); len(got) != 7+i {
			t.Errorf("told were %q", got)
		}
	}
	// All is used when a request was refused for the rest, but not when only one that asks for very much was.
	for _, c := range []struct {
		used  int64
		whole bool
	}{{2_000_000_000, false}, {16_000_000_000, true}} {
		dollars.Used, dollars.Refused = c.used, true
		if dollars.has(whole) != c.whole {
			t.Errorf("with %d used and a refusal all is used: %v", c.used, !c.whole)
		}
	}
	if text := dollars.alert(whole).Text; text != "client c is refused: too little is left of its quota of 30 dollars per month" {
		t.Error(text)
	}
}

// While the state is away each replica says it in its log, once, and nothing is sent. It is told when the state is back, if it
// still holds.
func TestWithoutTheState(t *testing.T) {
	hook, s, now := newReceiver(t), statetest.Switch(memstate.New()), time.Now()
	f := &facts{settings: Settings{Shares: []int64{800}, Webhook: hook.url()},
		keys: []Key{{ID: "k", State: proxy.Invalid, Usable: true}, {ID: "l", State: proxy.Invalid, Usable: true}}}
	f.quotas = []Quota{tokens("a", 90, 100)}
	_, log, look := looked(t, f, s)
	s.Off(true)
	for i := range 5 {
		look(now.Add(time.Duration(i) * time.Second))
		f.set(func(f *facts) { f.quotas = nil })
	}
	f.set(func(f *facts) { f.keys = f.keys[:1] })
	if n := strings.Count(log.String(), "in this log only"); n != 3 || hook.count() != 0 {
		t.Errorf("%d lines and %d calls:\n%s", n, hook.count(), log)
	}
	look(now.Add(40 * time.Second))
	look(now.Add(80 * time.Second))
	s.Off(false)
	look(now.Add(81 * time.Second))
	hook.hears(t, "key_invalid k", "quota_reached a tokens/day 0.8")
}

// A state that loses its answers gives them again.
func TestAnswersThatAreLost(t *testing.T) {
	hook := newReceiver(t)
	f := &facts{settings: Settings{Shares: []int64{800}, Webhook: hook.url()}, keys: []Key{{ID: "k", State: proxy.Invalid, Usable: true}}}
	f.quotas = []Quota{tokens("a", 90, 100)}
	_, _, look := looked(t, f, &deaf{Alerts: openRedis(t, redistest.Start(t))})
	now := time.Now()
	for range 3 {
		look(now)
	}
	f.set(func(f *facts) { f.keys[0] = Key{ID: "k", Usable: true} })
	for i := range 5 {
		look(now.Add(time.Duration(i) * time.Minute))
	}
	hook.hears(t, "key_invalid k", "key_recovered k", "quota_reached a tokens/day 0.8")
}

// deaf loses every other answer.
type deaf struct {
	state.Alerts
	asked int
}

func (d *deaf) lost(first bool, err error) (bool, error) {
	if d.asked++; d.asked%2 == 1 {
		return false, errors.Join(state.ErrUnavailable, errors.New("the answer is lost"))
	}
	return first, err
}

func (d *deaf) Tell(ctx context.Context, a state.Alert, token string, life time.Duration) (bool, error) {
	return d.lost(d.Alerts.Tell(ctx, a, token, life))
}

func (d *deaf) End(ctx context.Context, a state.Alert, token string) (bool, error) {
	return d.lost(d.Alerts.End(ctx, a, token))
}
