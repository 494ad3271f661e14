package app_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"openai-api-proxy/pkg/mockopenai"
)

type why struct {
	Client string
	Tries  []struct {
		Strategy, Picked, Account, Outcome string
		Status                             int
		Counts                             map[string]int
		Keys                               []struct{ Key, Why, Until string }
	}
	Ended string
}

// ask posts a chat completion as a client, with the debug header.
func (r *rig) ask(t *testing.T, token, debug, body string) (answer, why) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "POST", r.url+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if debug != "" {
		req.Header.Set("X-Proxy-Debug", debug)
	}
	a := r.send(t, req, token)
	var w why
	if text := a.header.Get("X-Proxy-Why"); text != "" {
		if err := json.Unmarshal([]byte(text), &w); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
	}
	return a, w
}

// An operator is told which keys were considered, why each was passed over, and how each attempt went. Nobody else is.
func TestWhy(t *testing.T) {
	mock, url := upstream(t)
	r := start(t, map[string]string{"OPENAI_BASE_URL": url, "CONFIG_FILE": "c.json", "file": `{"keys":[
		{"id":"a","key":"sk-test-why-a-0000001"}, {"id":"b","key":"sk-test-why-b-0000001"}, {"id":"off","key":"sk-test-why-c-0000001","enabled":false},
		{"id":"other","key":"sk-test-why-d-0000001","models":["o1"]}, {"id":"lab","key":"sk-test-why-e-0000001","pool":"lab"}],
		"clients":[{"id":"team","token":"` + clientToken + `"}]}`})
	mock.Fault(mockopenai.Fault{Key: "sk-test-why-a-0000001", Kind: "402"})
	var a answer
	var w why
	for len(w.Tries) < 2 { // until the turn comes to the key that fails
		a, w = r.ask(t, clientToken, adminToken, plain)
		if a.status != 200 || w.Client != "team" {
			t.Fatalf("%d %s %+v", a.status, a.body, w)
		}
	}
	first, second := w.Tries[0], w.Tries[1]
	if first.Picked != "a" || first.Outcome != "out_of_credit" || first.Status != 402 || first.Strategy != "roundrobin" || first.Account != "a" ||
		second.Picked != "b" || second.Outcome != "served" || second.Status != 200 {
		t.Errorf("%+v", w)
	}
	reasons := map[string]string{}
	for _, k := range second.Keys {
		reasons[k.Key] = k.Why
	}
	for key, want := range map[string]string{"a": "tried before", "b": "picked", "off": "disabled", "other": "does not serve the model", "lab": "of another pool"} {
		if reasons[key] != want {
			t.Errorf("%s: %q, want %q", key, reasons[key], want)
		}
	}
	if _, w = r.ask(t, clientToken, adminToken, plain); w.Tries[0].Keys[1].Why != "exhausted" || w.Tries[0].Keys[1].Until == "" {
		t.Errorf("%+v", w.Tries[0].Keys)
	}
	mock.Fault(mockopenai.Fault{Key: "*", Kind: "402"})
	if a, w = r.ask(t, clientToken, adminToken, plain); a.status != 503 || len(w.Tries) != 2 || w.Ended == "" || w.Tries[1].Picked != "" {
		t.Errorf("%d %+v", a.status, w)
	}
	for _, body := range mock.Requests() {
		if body.Header.Get("X-Proxy-Debug") != "" {
			t.Fatal("the admin token went upstream")
		}
	}
	if a, w = r.ask(t, clientToken, "", plain); w.Client != "" {
		t.Errorf("told without being asked: %+v", w)
	}
	if a, w = r.ask(t, clientToken, clientToken, plain); a.status != 401 || w.Client != "" {
		t.Errorf("a client's token opens the debug header: %d %+v", a.status, w)
	}
	if a, _ = r.ask(t, "sk-test-nobody-000000001", adminToken, plain); a.status != 401 {
		t.Errorf("the debug header opens the door: %d", a.status)
	}
	if strings.Contains(r.logs.String(), adminToken) {
		t.Error("the log has the admin token")
	}
}

// The limits are told too, of a request that was admitted and of one that was not.
func TestWhyTellsLimits(t *testing.T) {
	_, url := upstream(t)
	r := start(t, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEY": keyNumber(1),
		"CLIENT_TOKENS": `[{"id":"team","token":"` + clientToken + `","rpm":1,"burst":2,"quota":100}]`})
	limits := func(a answer) (l struct {
		Limits struct {
			Before, After []struct {
				Limit string
				Left  int64
			}
		}
	}) {
		if err := json.Unmarshal([]byte(a.header.Get("X-Proxy-Why")), &l); err != nil {
			t.Fatalf("%v: %q", err, a.header.Get("X-Proxy-Why"))
		}
		return l
	}
	for i, want := range []struct {
		status        int
		before, after int64
	}{{200, 2, 1}, {200, 1, 0}, {429, 0, 0}} {
		a, _ := r.ask(t, clientToken, adminToken, plain)
		l := limits(a).Limits
		if a.status != want.status || len(l.Before) != 2 || l.Before[0].Left != want.before || l.After[0].Left != want.after {
			t.Errorf("request %d: %d %+v, want %+v", i, a.status, l, want)
		}
	}
}
