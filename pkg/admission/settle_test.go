package admission

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"openai-api-proxy/pkg/openai"
	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
	"openai-api-proxy/pkg/state/memstate"
	"openai-api-proxy/pkg/state/statetest"
)

// shared is a state that can be switched off and counts what it is asked.
type shared struct {
	*statetest.Switchable
	spends atomic.Int64
}

func (s *shared) Spend(ctx context.Context, subject, reservation string, charges []state.Charge) (state.Verdict, error) {
	s.spends.Add(1)
	return s.Switchable.Spend(ctx, subject, reservation, charges)
}

func inMemory() *shared { return &shared{Switchable: statetest.Switch(memstate.New())} }

// nothing asks for nothing that is counted.
func nothing() Ask { return Ask{Op: new(openai.Operation), Head: new(openai.Head)} }

// chat asks for a completion.
func chat(body string) Ask {
	head := openai.ReadHead([]byte(body))
	return Ask{Op: &openai.Operation{Method: http.MethodPost, Path: "/v1/chat/completions", Model: openai.ModelInJSON},
		Head: &head, Length: int64(len(body)),
		Price: func(model string, u openai.Usage) (int64, bool) { return cost(u), model == "priced" }}
}

// cost is what the model "priced" costs.
func cost(u openai.Usage) int64 { return 2*u.Input + 8*u.Output }

// sized is a chat of so many bytes.
func sized(n int, rest string) Ask {
	frame := `{"model":"priced","messages":""` + rest + `}`
	return chat(strings.Replace(frame, `"messages":""`, `"messages":"`+strings.Repeat("x", n-len(frame))+`"`, 1))
}

func exact(input, output int64) Spent {
	u := openai.Usage{Input: input, Output: output, Basis: openai.Exact}
	return Spent{Usage: u, Cost: cost(u), Priced: true}
}

func budget(m proxy.Measure, limit int64, p proxy.Period) proxy.Budget {
	return proxy.Budget{Measure: m, Limit: limit, Period: p}
}

// left is what is left of a client's limits, by name.
func left(t *testing.T, s buckets, c *proxy.Client) map[string]int64 {
	t.Helper()
	charges := chargesOf(nil, c, amounts{})
	for i := range charges {
		charges[i].Cost = 0
	}
	v, err := s.Spend(t.Context(), "c:"+c.ID, "", charges)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]int64{}
	for _, b := range v.Balances {
		all[b.Limit] = b.Left
	}
	return all
}

func admit(t *testing.T, a *Admission, c *proxy.Client, ask Ask) error {
	t.Helper()
	_, err := a.Admit(t.Context(), c, ask)
	return err
}

func admitted(t *testing.T, a *Admission, c *proxy.Client, ask Ask) *Permit {
	t.Helper()
	p, err := a.Admit(t.Context(), c, ask)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// told waits until everything was told.
func told(t *testing.T, a *Admission) {
	t.Helper()
	for end := time.Now().Add(time.Minute); a.teller.pending() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not told in a minute")
		}
	}
}

// What is charged in the end, by how the request ended.
func TestSettledFor(t *testing.T) {
	const size, limit = 300, 100_000
	partial := Spent{Usage: openai.Usage{Input: 50, Output: 20, Basis: openai.Partial}}
	for name, c := range map[string]struct {
		spent        Spent
		soft, strict int64 // tokens
	}{
		"exact":            {exact(80, 15), 95, 95},
		"cut":              {partial, 70, size + around + 100},
		"nobody knows":     {Spent{}, size/3 + 100, size + around + 100},
		"never executed":   {Spent{Unexecuted: true}, 0, 0},
		"rejected":         {Spent{Rejected: true}, 0, size + around + 100},
		"far more":         {exact(5000, 9000), 14_000, 14_000},
		"negative figures": {exact(-5, -9), 0, 0},
		"beyond belief":    {exact(1<<52, 1<<52), size/3 + 100, size + around + 100},
	} {
		for mode, want := range map[string]int64{"soft": c.soft, "strict": c.strict} {
			t.Run(name+" "+mode, func(t *testing.T) {
				s := inMemory()
				a, log := open(t, s, nil)
				client := &proxy.Client{ID: "c", TPM: limit, RPM: 100, Burst: 100, Strict: mode == "strict", Concurrency: 2,
					Quota: []proxy.Budget{budget(proxy.Tokens, limit, proxy.Month), budget(proxy.Requests, 10, proxy.Day), budget(proxy.Dollars, limit, proxy.Total)}}
				p := admitted(t, a, client, sized(size, `,"max_tokens":100`))
				if a.teller.reserved.Load() == 0 || left(t, s, client)["concurrency"] != 1 {
					t.Errorf("nothing is reserved: %v", left(t, s, client))
				}
				for range 3 {
					p.Settle(t.Context(), c.spent)
				}
				told(t, a)
				l := left(t, s, client)
				if got := limit - l["tokens/month"]; got != want {
					t.Errorf("charged %d tokens, want %d", got, want)
				}
				if l["requests/day"] != 9 || l["concurrency"] != 2 || a.teller.reserved.Load() != 0 || len(a.teller.subjects) != 0 {
					t.Errorf("left %v, reserved %d", l, a.teller.reserved.Load())
				}
				if got := limit - l["tpm"]; got > want || got < want-limit/60 {
					t.Errorf("tpm: charged %d, want %d", got, want)
				}
				if over := value(t, a.metrics.overshoot); over != 0 != (mode == "strict" && name == "far more") || over != strings.Count(log.String(), "more than its bound") {
					t.Errorf("overshoot counted %d times:\n%s", over, log)
				}
			})
		}
	}
}

// A strict client whose limits count no tokens has no bound of them to exceed.
func TestStrictWithoutTokens(t *testing.T) {
	a, log := open(t, inMemory(), nil)
	p := admitted(t, a, &proxy.Client{ID: "few", Strict: true, Concurrency: 2}, sized(300, ""))
	p.Settle(t.Context(), exact(40, 5))
	told(t, a)
	if over := value(t, a.metrics.overshoot); over != 0 || strings.Contains(log.String(), "more than its bound") {
		t.Errorf("overshoot counted %d times:\n%s", over, log)
	}
}

func TestMoney(t *testing.T) {
	s := inMemory()
	a, _ := open(t, s, nil)
	soft := &proxy.Client{ID: "soft", Quota: []proxy.Budget{budget(proxy.Dollars, 1_000_000, proxy.Month)}}
	p := admitted(t, a, soft, sized(300, `,"max_tokens":10`))
	if got := 1_000_000 - left(t, s, soft)["usd/month"]; got != 100*2+10*8 {
		t.Errorf("estimated at %d", got)
	}
	p.Settle(t.Context(), exact(40, 5))
	told(t, a)
	if got := 1_000_000 - left(t, s, soft)["usd/month"]; got != 40*2+5*8 {
		t.Errorf("settled for %d", got)
	}
	_, err := a.Admit(t.Context(), soft, chat(`{"model":"unpriced","messages":[]}`))
	var f *proxy.Fault
	if !errors.As(err, &f) || f.Kind != proxy.ModelNotAllowed || f.Param != "model" || !strings.Contains(f.Public, `"unpriced"`) || !strings.Contains(f.Public, "prices") {
		t.Errorf("without a price: %v", err)
	}
	unknown := chat(`{"model":"priced","messages":[]}`)
	if unknown.Price = nil; kindOf(admit(t, a, soft, unknown)) != proxy.ModelNotAllowed {
		t.Error("without any prices")
	}
	if err := admit(t, a, soft, chat(`{"messages":[]}`)); kindOf(err) != proxy.InvalidRequest || !strings.Contains(err.Error(), "names no model") {
		t.Errorf("without a model: %v", err)
	}
	if n := value(t, a.metrics.limits.WithLabelValues("unpriced")); n != 3 {
		t.Errorf("%d refused for want of a price", n)
	}
	kept := admitted(t, a, &proxy.Client{ID: "kept", Quota: soft.Quota}, sized(300, `,"max_tokens":10`))
	kept.Settle(t.Context(), Spent{Usage: openai.Usage{Input: 1, Output: 1, Basis: openai.Exact}})
	told(t, a)
	if got := 1_000_000 - left(t, s, kept.client)["usd/month"]; got != 100*2+10*8 {
		t.Errorf("without a cost settled for %d", got)
	}
	if _, err := a.Admit(t.Context(), soft, Ask{Op: &openai.Operation{Method: http.MethodGet, Path: "/v1/models"}, Head: new(openai.Head)}); err != nil {
		t.Errorf("what costs nothing: %v", err)
	}
	strict := &proxy.Client{ID: "strict", Strict: true, Quota: []proxy.Budget{budget(proxy.Dollars, 3000, proxy.Total)}}
	if _, err := a.Admit(t.Context(), strict, sized(300, `,"max_tokens":300`)); kindOf(err) != proxy.OverBudget || !strings.Contains(err.Error(), "0.000003 dollars in total has less left than the 0.000004024 dollars") {
		t.Errorf("more than there is: %v", err)
	}
}

// What cannot be bounded is refused to a strict client, with the name of what is unbounded.
func TestStrictRefuses(t *testing.T) {
	a, _ := open(t, inMemory(), nil)
	client := &proxy.Client{ID: "c", TPM: 1_000_000, Strict: true}
	at := func(method, path, body string) Ask {
		ask := chat(body)
		ask.Op.Method, ask.Op.Path = method, path
		return ask
	}
	for name, c := range map[string]struct {
		ask   Ask
		param string
		ok    bool
	}{
		"bounded":               {chat(`{"messages":[],"max_tokens":5}`), "", true},
		"embeddings":            {at("POST", "/v1/embeddings", `{"input":["a"]}`), "", true},
		"moderation":            {at("POST", "/v1/moderations", `{"input":"a"}`), "", true},
		"a list of models":      {at("GET", "/v1/models", ``), "", true},
		"chat without a bound":  {chat(`{"messages":[]}`), "max_completion_tokens", false},
		"text without a bound":  {at("POST", "/v1/completions", `{"prompt":"a"}`), "max_tokens", false},
		"reply without a bound": {at("POST", "/v1/responses", `{"input":"a"}`), "max_output_tokens", false},
		"an image":              {chat(`{"messages":[{"content":[{"type":"image_url","image_url":{"url":"https://x.test"}}]}],"max_tokens":5}`), "messages", false},
		"an image, moderated":   {at("POST", "/v1/moderations", `{"input":[{"type":"image_url"}]}`), "input", false},
		"a search":              {at("POST", "/v1/responses", `{"input":"a","max_output_tokens":5,"tools":[{"type":"web_search"}]}`), "tools", false},
		"a stored answer":       {at("POST", "/v1/responses", `{"max_output_tokens":5,"previous_response_id":"resp_1"}`), "previous_response_id", false},
		"a conversation":        {at("POST", "/v1/responses", `{"max_output_tokens":5,"conversation":"conv_1"}`), "conversation", false},
		"in the background":     {at("POST", "/v1/responses", `{"max_output_tokens":5,"background":true}`), "background", false},
		"a broken body":         {chat(`{"max_tokens":5,`), "", false},
		"an unknown length":     {Ask{Op: chat(`{}`).Op, Head: chat(`{"max_tokens":5}`).Head, Length: -1}, "", false},
		"images":                {at("POST", "/v1/images/generations", `{"prompt":"a"}`), "", false},
		"a model that searches": {chat(`{"model":"gpt-4o-search-preview","messages":[],"max_tokens":5}`), "model", false},
		"a dear tier of tokens": {chat(`{"service_tier":"priority","max_tokens":5}`), "", true},
		"something new":         {at("POST", "/v1/decisions", `{"max_tokens":5}`), "", false},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := a.Admit(t.Context(), client, c.ask)
			defer p.Settle(t.Context(), Spent{Unexecuted: true})
			if c.ok {
				if err != nil {
					t.Error(err)
				}
				return
			}
			var f *proxy.Fault
			if !errors.As(err, &f) || f.Kind != proxy.InvalidRequest || f.Param != c.param {
				t.Errorf("%v with param %q, want %q", err, f.Param, c.param)
			}
		})
	}
}

// Strict money has no bound where the upstream charges more than the prices that are known.
func TestStrictMoneyRefusesTiers(t *testing.T) {
	a, _ := open(t, inMemory(), nil)
	money := []proxy.Budget{budget(proxy.Dollars, 1_000_000, proxy.Month)}
	soft, strict := &proxy.Client{ID: "soft", Quota: money}, &proxy.Client{ID: "strict", Strict: true, Quota: money}
	for tier, ok := range map[string]bool{`null`: true, `"auto"`: true, `"default"`: true, `"flex"`: true,
		`"priority"`: false, `"scale"`: false, `"pri\u006frity"`: false, `"Flex"`: false, `"fast"`: false, `["flex"]`: false, `0`: false} {
		ask := sized(200, `,"max_tokens":5,"service_tier":`+tier)
		admitted(t, a, soft, ask).Settle(t.Context(), Spent{Unexecuted: true})
		p, err := a.Admit(t.Context(), strict, ask)
		p.Settle(t.Context(), Spent{Unexecuted: true})
		var f *proxy.Fault
		if refused := errors.As(err, &f) && f.Kind == proxy.InvalidRequest && f.Param == "service_tier"; refused == ok || (err == nil) != ok {
			t.Errorf("%s: %v", tier, err)
		}
	}
	twice := sized(200, `,"max_tokens":5,"service_tier":"priority","service_tier":"flex"`)
	if _, err := a.Admit(t.Context(), strict, twice); kindOf(err) != proxy.InvalidRequest {
		t.Errorf("of two tiers one is dear: %v", err)
	}
}

func TestGuess(t *testing.T) {
	a, _ := open(t, inMemory(), nil)
	client := &proxy.Client{ID: "c", TPM: 1_000_000}
	charged := func(ask Ask) int64 {
		p := admitted(t, a, client, ask)
		defer p.Settle(t.Context(), Spent{Unexecuted: true})
		return p.expected.tokens
	}
	media := chat(`{"model":"m","messages":[{"content":[{"type":"image_url","image_url":{"url":"data:` + strings.Repeat("A", 9000) + `"}}]}]}`)
	form := Ask{Op: &openai.Operation{Method: http.MethodPost, Path: "/v1/audio/transcriptions", Model: openai.ModelInForm}, Head: new(openai.Head), Length: 9_000_000}
	reading := sized(300, "")
	reading.Op.Path = "/v1/embeddings"
	for name, c := range map[string]struct {
		ask  Ask
		want int64
	}{
		"unknown output": {sized(300, ""), 100 + guess}, "bounded output": {sized(300, `,"max_tokens":7`), 100 + 7},
		"three answers": {sized(300, `,"max_tokens":7,"n":3`), 100 + 21}, "a bound too large": {sized(300, `,"max_tokens":70000`), 100 + guess},
		"media": {media, 30 + guess}, "a file": {form, guess}, "no output": {reading, 100},
	} {
		if got := charged(c.ask); got < c.want-5 || got > c.want+5 {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
	for i := range 100 {
		output := int64(30)
		if i%20 == 0 {
			output = 500
		}
		admitted(t, a, client, sized(300, "")).Settle(t.Context(), exact(1, output))
	}
	if got := charged(sized(300, "")); got != 130 && got != 600 {
		t.Errorf("after short answers: %d", got)
	}
	if got := charged(chat(strings.Replace(`{"model":"priced","messages":""}`, "priced", "other", 1))); got < guess {
		t.Errorf("another model: %d", got)
	}
}

// A strict quota is never exceeded by a token, however many ask at once and whatever becomes of their requests; and what
// was used is what is counted.
func TestStrictIsExact(t *testing.T) {
	const limit = 60_000
	s := inMemory()
	a, _ := open(t, s, nil)
	client := &proxy.Client{ID: "c", Strict: true, Concurrency: 40, Quota: []proxy.Budget{budget(proxy.Tokens, limit, proxy.Total)}}
	var used, running atomic.Int64
	var all sync.WaitGroup
	for range 64 {
		all.Go(func() {
			for range 40 {
				ask := sized(200+rand.IntN(200), `,"max_tokens":300`)
				p, err := a.Admit(context.Background(), client, ask)
				if err != nil {
					if k := kindOf(err); k != proxy.OverBudget && k != proxy.RateLimited {
						t.Error(err)
					}
					continue
				}
				if n := running.Add(1); n > 40 {
					t.Errorf("%d at once", n)
				}
				spent := exact(rand.Int64N(ask.Length), rand.Int64N(301))
				switch rand.IntN(6) {
				case 0:
					spent = Spent{} // nobody knows
					used.Add(ask.Length + around + 300)
				case 1:
					spent = Spent{Unexecuted: true}
				default:
					used.Add(spent.Usage.Input + spent.Usage.Output)
				}
				if n := used.Load(); n > limit {
					t.Errorf("%d of %d used", n, limit)
				}
				running.Add(-1)
				p.Settle(context.Background(), spent)
			}
		})
	}
	all.Wait()
	told(t, a)
	if got := limit - left(t, s, client)["tokens/total"]; got != used.Load() {
		t.Errorf("%d counted, %d used", got, used.Load())
	}
	if used.Load() < limit/2 {
		t.Errorf("only %d of %d could be used", used.Load(), limit)
	}
	if l := left(t, s, client); l["concurrency"] != 40 {
		t.Errorf("slots left: %v", l)
	}
}

// Who sends one request after the other is never refused for want of the only slot.
func TestOneAfterTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := open(t, inMemory(), nil)
		client := &proxy.Client{ID: "c", Concurrency: 1}
		next := make(chan *Permit, 1)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for p := range next { // a handler that returns a moment after the caller has the end of its answer
				time.Sleep(time.Millisecond)
				p.Settle(context.Background(), exact(1, 1))
			}
		}()
		for i := range 200 {
			p, err := a.Admit(t.Context(), client, chat(`{}`))
			if err != nil {
				t.Errorf("request %d: %v", i, err)
				break
			}
			next <- p
		}
		close(next)
		<-ended
		held := admitted(t, a, client, chat(`{}`))
		defer held.Settle(t.Context(), Spent{})
		if _, err := a.Admit(t.Context(), client, chat(`{}`)); kindOf(err) != proxy.RateLimited || !strings.Contains(err.Error(), "limit of 1 requests at the same time reached; try again in 1s") {
			t.Errorf("two at once: %v", err)
		}
	})
}

// A flood of a client that is over its limit is not one of the shared state, and ends when the limit frees.
func TestRefusalsAreRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := inMemory()
		a, _ := open(t, s, nil)
		client := &proxy.Client{ID: "c", RPM: 600, Burst: 1, TPM: 6000}
		admitted(t, a, client, sized(300, `,"max_tokens":10`)).Settle(t.Context(), exact(100, 10))
		before := s.spends.Load()
		var f *proxy.Fault
		for range 1000 {
			if _, err := a.Admit(t.Context(), client, sized(300, `,"max_tokens":10`)); !errors.As(err, &f) || f.Kind != proxy.RateLimited {
				t.Fatal(err)
			}
		}
		if n := s.spends.Load() - before; n > 2 {
			t.Errorf("the state was asked %d times", n)
		}
		if f.RetryAfter <= 0 || f.RetryAfter > 100*time.Millisecond {
			t.Errorf("told to wait %v", f.RetryAfter)
		}
		time.Sleep(f.RetryAfter)
		if _, err := a.Admit(t.Context(), client, sized(300, `,"max_tokens":10`)); err != nil {
			t.Errorf("waited as told: %v", err)
		}
		// A small request need not wait for what a large one was refused.
		big := &proxy.Client{ID: "big", TPM: 6000, Strict: true}
		admitted(t, a, big, sized(3000, `,"max_tokens":500`))
		if _, err := a.Admit(t.Context(), big, sized(3000, `,"max_tokens":500`)); kindOf(err) != proxy.RateLimited {
			t.Error(err)
		}
		if _, err := a.Admit(t.Context(), big, sized(300, `,"max_tokens":5`)); err != nil {
			t.Errorf("a small one: %v", err)
		}
		a.Close()
	})
}

// A slot is held for as long as its request runs, and by a replica that died for half a minute.
func TestSlotsAreRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := inMemory()
		a, _ := open(t, s, nil)
		b, _ := open(t, s, nil)
		client := &proxy.Client{ID: "c", Concurrency: 1}
		p := admitted(t, a, client, chat(`{}`))
		for range 10 {
			time.Sleep(time.Minute)
			if _, err := b.Admit(t.Context(), client, chat(`{}`)); kindOf(err) != proxy.RateLimited {
				t.Fatalf("a slot that is held was given again: %v", err)
			}
		}
		a.Close() // with its request: nobody renews
		time.Sleep(state.SlotLife + time.Second)
		next := admitted(t, b, client, chat(`{}`))
		p.Settle(t.Context(), Spent{}) // of the dead one
		next.Settle(t.Context(), Spent{})
		b.Close()
	})
}

// Without the shared state: quotas as the client says, rates and slots at their share; what was let pass is told later.
func TestStateLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := inMemory()
		a, _ := open(t, s, func() int { return 2 })
		quota := []proxy.Budget{budget(proxy.Tokens, 100_000, proxy.Month), budget(proxy.Requests, 1000, proxy.Day)}
		deny := &proxy.Client{ID: "deny", Quota: quota}
		allow := &proxy.Client{ID: "allow", Quota: quota, AllowUncounted: true, Concurrency: 4}
		free := &proxy.Client{ID: "counted", Quota: quota[1:], AllowUncounted: true}
		rated := &proxy.Client{ID: "rated", TPM: 60_000, RPM: 1000, Burst: 1000}
		before := admitted(t, a, allow, sized(300, ""))
		s.Off(true)
		_, err := a.Admit(t.Context(), deny, sized(300, ""))
		var f *proxy.Fault
		if !errors.As(err, &f) || f.Kind != proxy.LimitsUnknown || f.RetryAfter <= 0 {
			t.Errorf("deny: %v", err)
		}
		one, two := admitted(t, a, allow, sized(300, "")), admitted(t, a, free, sized(300, ""))
		if _, err := a.Admit(t.Context(), allow, sized(300, "")); kindOf(err) != proxy.RateLimited {
			t.Errorf("more than the share of the slots: %v", err)
		}
		tokens := int64(0)
		for tokens <= 60_000 {
			p, err := a.Admit(t.Context(), rated, sized(300, `,"max_tokens":1000`))
			if err != nil {
				if kindOf(err) != proxy.RateLimited {
					t.Error(err)
				}
				break
			}
			tokens += p.expected.tokens
			p.Settle(t.Context(), exact(1, 1))
		}
		if tokens < 28_000 || tokens > 32_000 {
			t.Errorf("%d tokens admitted, half of 60000 is the share", tokens)
		}
		before.Settle(t.Context(), exact(1000, 0))
		one.Settle(t.Context(), exact(200, 30))
		two.Settle(t.Context(), exact(200, 30))
		if n := a.teller.pending(); n < 3 || value(t, a.metrics.unchecked) != 2 {
			t.Errorf("%d wait to be told, %d let pass", n, value(t, a.metrics.unchecked))
		}
		s.Off(false)
		told(t, a)
		if l := left(t, s, allow); l["tokens/month"] != 100_000-1230 || l["requests/day"] != 998 || l["concurrency"] != 4 {
			t.Errorf("left %v", l)
		}
		if l := left(t, s, free); l["requests/day"] != 999 {
			t.Errorf("left %v", l)
		}
		if l := left(t, s, deny); l["requests/day"] != 1000 {
			t.Errorf("refused and charged: %v", l)
		}
		if l := left(t, s, rated); l["rpm"] != 1000 {
			t.Errorf("rates of an outage are not told: %v", l)
		}
		if value(t, a.metrics.late) == 0 {
			t.Error("late settlements are not counted")
		}
	})
}

// While answers are lost, nothing is counted twice and nothing is forgotten.
func TestLostAnswers(t *testing.T) {
	s := inMemory()
	a, _ := open(t, s, nil)
	client := &proxy.Client{ID: "c", AllowUncounted: true, Concurrency: 100, TPM: 1_000_000,
		Quota: []proxy.Budget{budget(proxy.Tokens, 1_000_000, proxy.Month), budget(proxy.Requests, 1000, proxy.Day)}}
	deny := &proxy.Client{ID: "deny", Quota: client.Quota}
	s.Deaf(true)
	var all []*Permit
	for range 50 {
		all = append(all, admitted(t, a, client, sized(300, "")))
	}
	if _, err := a.Admit(t.Context(), deny, sized(300, "")); kindOf(err) != proxy.LimitsUnknown {
		t.Error(err)
	}
	gone, leave := context.WithCancel(t.Context())
	leave()
	if _, err := a.Admit(gone, client, sized(300, "")); kindOf(err) != proxy.CallerLeft {
		t.Error(err)
	}
	for _, p := range all {
		p.Settle(t.Context(), exact(90, 10))
	}
	time.Sleep(3 * firstPause)
	s.Deaf(false)
	told(t, a)
	if l := left(t, s, client); l["tokens/month"] != 1_000_000-5000 || l["requests/day"] != 950 || l["concurrency"] != 100 || l["tpm"] > 1_000_000 || l["tpm"] < 994_000 {
		t.Errorf("left %v", l)
	}
	if l := left(t, s, deny); l["tokens/month"] != 1_000_000 || l["requests/day"] != 1000 {
		t.Errorf("refused and charged: %v", l)
	}
}

// The end waits until all was told, but not for ever.
func TestCloseTellsAll(t *testing.T) {
	s := inMemory()
	a, _ := open(t, s, nil)
	client := &proxy.Client{ID: "c", TPM: 1 << 20, Quota: []proxy.Budget{budget(proxy.Tokens, 1<<40, proxy.Total)}}
	for range 2 * tellAtOnce {
		admitted(t, a, client, sized(300, `,"max_tokens":10`)).Settle(t.Context(), exact(1, 1))
	}
	a.Close()
	if l := left(t, s, client); l["tokens/total"] != 1<<40-4*tellAtOnce {
		t.Errorf("left %v", l)
	}
	b, log := open(t, s, nil)
	p := admitted(t, b, client, sized(300, `,"max_tokens":10`))
	s.Off(true)
	p.Settle(t.Context(), exact(1, 1))
	b.Close()
	if value(t, b.metrics.lost) != 1 || !strings.Contains(log.String(), "could not be told") {
		t.Errorf("%d lost\n%s", value(t, b.metrics.lost), log)
	}
}

// What waits during a long outage is bounded.
func TestPendingIsBounded(t *testing.T) {
	s := inMemory()
	a, _ := open(t, s, nil)
	s.Off(true)
	for i := range mostPending + 700 {
		a.teller.tell(state.Settlement{Subject: fmt.Sprint("c:", i%3), Reservation: fmt.Sprint(i)})
	}
	if n, lost := a.teller.pending(), value(t, a.metrics.lost); n != mostPending || lost != 700 {
		t.Errorf("%d pending, %d lost", n, lost)
	}
	s.Off(false)
	told(t, a)
	if len(a.teller.subjects) != 0 {
		t.Errorf("remembered: %v", a.teller.subjects)
	}
}

func TestTokenHeaders(t *testing.T) {
	a, _ := open(t, inMemory(), nil)
	client := &proxy.Client{ID: "c", TPM: 6000}
	p := admitted(t, a, client, sized(300, `,"max_tokens":20`))
	defer p.Settle(t.Context(), Spent{})
	h := http.Header{}
	p.Header(h)
	if h.Get("x-ratelimit-limit-tokens") != "6000" || h.Get("x-ratelimit-remaining-tokens") != "5880" || h.Get("x-ratelimit-reset-tokens") != "1.2s" || h.Get("x-ratelimit-limit-requests") != "" {
		t.Errorf("%v", h)
	}
}

func TestQuotaRefusals(t *testing.T) {
	s := inMemory()
	a, _ := open(t, s, nil)
	for name, c := range map[string]struct {
		client proxy.Client
		want   string
		waits  bool
	}{
		"day":   {proxy.Client{Quota: []proxy.Budget{budget(proxy.Requests, 1, proxy.Day)}}, "quota of 1 requests per day used up; try again in ", true},
		"total": {proxy.Client{Quota: []proxy.Budget{budget(proxy.Tokens, 50, proxy.Total)}}, "quota of 50 tokens in total used up; it does not renew", false},
		"strict": {proxy.Client{Strict: true, Quota: []proxy.Budget{budget(proxy.Tokens, 1200, proxy.Month)}},
			"quota of 1200 tokens per month has less left than the 822 tokens that this request may use; try again in ", true},
		"too large": {proxy.Client{Strict: true, TPM: 500}, "rate limit of 500 tokens per minute reached; this request may use 822; that is more than the limit allows at any time", false},
	} {
		t.Run(name, func(t *testing.T) {
			c.client.ID = name
			ask := sized(300, `,"max_tokens":10`)
			a.Admit(t.Context(), &c.client, ask)
			_, err := a.Admit(t.Context(), &c.client, ask)
			var f *proxy.Fault
			if !errors.As(err, &f) || !strings.HasPrefix(f.Public, c.want) || (f.RetryAfter > 0) != c.waits || f.Spent == c.waits {
				t.Errorf("%+v", f)
			}
		})
	}
}

// telling counts how often it is told what was spent.
type telling struct {
	*shared
	told atomic.Int64
}

func (s *telling) Settle(ctx context.Context, all []state.Settlement) error {
	s.told.Add(1)
	return s.shared.Settle(ctx, all)
}

// A slot is freed at once where each may be wanted, and with others a moment later where most are free.
func TestFewSlotsAreFreedAtOnce(t *testing.T) {
	for _, c := range []struct {
		slots, held int
		atOnce      bool
	}{{10, 1, true}, {64, 1, true}, {1000, 1, false}, {1000, 499, false}, {1000, 501, true}} {
		synctest.Test(t, func(t *testing.T) {
			s := &telling{shared: inMemory()}
			a, _ := open(t, s, nil)
			client := &proxy.Client{ID: "c", Enabled: true, Concurrency: int64(c.slots)}
			permits := make([]*Permit, c.held+1)
			for i := range permits {
				permits[i], _ = a.Admit(t.Context(), client, nothing())
			}
			permits[0].Settle(t.Context(), Spent{})
			synctest.Wait()
			if n := s.told.Load(); n != 1 {
				t.Fatalf("after a quiet moment the first was told %d times", n)
			}
			permits[c.held].Settle(t.Context(), Spent{})
			synctest.Wait()
			if told := s.told.Load() == 2; told != c.atOnce {
				t.Errorf("%d of %d held: told at once is %v", c.held, c.slots, told)
			}
			time.Sleep(gathering)
			synctest.Wait()
			if n := s.told.Load(); n != 2 {
				t.Errorf("%d of %d held: a moment later it was told %d times", c.held, c.slots, n)
			}
			a.Close()
		})
	}
}
