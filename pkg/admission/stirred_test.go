package admission

import (
	"testing"
	"testing/synctest"
	"time"

	"openai-api-proxy/pkg/openai"
	"openai-api-proxy/pkg/proxy"
)

// Quotas are told of as they stood last, once, and again when the last requests were settled.
func TestStirred(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := inMemory()
		a, _ := open(t, s, nil)
		c := &proxy.Client{ID: "busy", RPM: 1000, Burst: 1000, Quota: []proxy.Budget{budget(proxy.Tokens, 50_000, proxy.Day),
			budget(proxy.Requests, 2, proxy.Total)}}
		stands := func(want int) []Stand {
			t.Helper()
			all := a.Stirred(t.Context())
			if len(all) != want {
				t.Fatalf("%d quotas stirred, want %d: %+v", len(all), want, all)
			}
			return all
		}
		p := admitted(t, a, &proxy.Client{ID: "none", RPM: 5, Burst: 5}, sized(300, ""))
		p.Settle(t.Context(), exact(1, 1))
		stands(0)
		p = admitted(t, a, c, sized(300, `,"max_tokens":100`))
		all := stands(2)
		if q := all[0]; q.Client != c || q.Limit != "tokens/day" || q.Used != 200 || q.Refused || q.Start != proxy.Day.Start(time.Now()) ||
			q.Resets != proxy.Day.End(time.Now()) || q.Budget != c.Quota[0] {
			t.Errorf("%+v", q)
		}
		if q := all[1]; q.Limit != "requests/total" || q.Used != 1 || !q.Start.IsZero() || !q.Resets.IsZero() {
			t.Errorf("%+v", q)
		}
		p.Settle(t.Context(), exact(1000, 3000))
		told(t, a)
		stands(0)
		time.Sleep(stillAfter)
		if q := stands(2)[0]; q.Used != 4000 {
			t.Errorf("settled it is %+v", q)
		}
		time.Sleep(stillAfter)
		stands(0)

		admitted(t, a, c, sized(300, "")).Settle(t.Context(), exact(1, 1))
		if _, err := a.Admit(t.Context(), c, sized(300, "")); kindOf(err) != proxy.OverBudget {
			t.Fatal(err)
		}
		if all := stands(2); all[0].Refused || !all[1].Refused || all[1].Used != 2 {
			t.Errorf("%+v", all)
		}
		s.Off(true)
		time.Sleep(stillAfter)
		stands(0)
		if len(a.stirred.of) != 0 {
			t.Error("clients are remembered that are still")
		}
	})
}

// What is decided without the store says nothing of quotas.
func TestNothingStirsInAnOutage(t *testing.T) {
	s := inMemory()
	a, _ := open(t, s, nil)
	s.Off(true)
	c := &proxy.Client{ID: "c", AllowUncounted: true, Quota: []proxy.Budget{budget(proxy.Tokens, 5, proxy.Day)}}
	if _, err := a.Admit(t.Context(), c, Ask{Op: &openai.Operation{Method: "POST", Path: "/v1/chat/completions"}, Head: new(openai.Head), Length: 9}); err != nil {
		t.Fatal(err)
	}
	if all := a.Stirred(t.Context()); len(all) != 0 {
		t.Errorf("%+v", all)
	}
}
