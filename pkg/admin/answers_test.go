package admin

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ulule/limiter/v3"

	"openai-api-proxy/pkg/auth"
	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
)

// asked is a request to an operation. What is empty is as usual: the item "mine", the body of bodies, no headers.
type asked struct {
	id, query, body string
	headers         []string
}

// scene is circumstances in which operations answer with one status.
type scene struct {
	status int
	with   settings
	set    func(r *rig)                 // makes the circumstances, on a rig that has keys "mine" and "spare" and a client "mine"
	of     func(operation string) asked // how to ask for it; nil: as usual
}

// Every answer that the document promises is given by somebody, and looks as the document says. A status that nothing
// answers with is a promise to take back.
func TestEveryAnswerOfTheDocument(t *testing.T) {
	shared := newRig(t).contract
	for _, s := range scenes() {
		r := newRig(t, s.with)
		r.contract = shared
		for _, id := range []string{"mine", "spare"} {
			r.raw("POST", "/api/keys", text(map[string]any{"id": id, "key": "sk-test-of-" + id + "-0123456789"}))
		}
		r.raw("POST", "/api/clients", `{"id":"mine"}`)
		r.finished("mine", "mine", "m", 200)
		if s.set != nil {
			s.set(r)
		}
		for _, o := range shared.operations() {
			if !slices.Contains(o.statuses(), s.status) {
				continue
			}
			var ask asked
			if s.of != nil {
				ask = s.of(o.name())
			}
			if got := r.ask(o, ask, s.status); got != s.status {
				t.Errorf("%s: answered %d, want %d", o.name(), got, s.status)
			}
		}
	}
	promised := 0
	for _, o := range shared.operations() {
		for _, status := range o.statuses() {
			promised++
			if !shared.seen[fmt.Sprintf("%s %d", o.name(), status)] {
				t.Errorf("%s: no test got a %d", o.name(), status)
			}
		}
	}
	if promised < 200 {
		t.Errorf("only %d answers", promised)
	}
}

// statuses are those that the document promises.
func (o operation) statuses() (all []int) {
	for name := range o.is["responses"].(map[string]any) {
		var status int
		_, _ = fmt.Sscan(name, &status)
		all = append(all, status)
	}
	return all
}

// ask makes the request, holds the answer against the contract and tells its status.
func (r *rig) ask(o operation, ask asked, want int) int {
	r.t.Helper()
	id, body := ask.id, ask.body
	if id == "" {
		id = "mine"
	}
	if o.path == "/requests/{id}" {
		id = strings.Replace(id, "mine", "req_mineminem200", 1)
	}
	if body == "" && o.is["requestBody"] != nil {
		body = strings.ReplaceAll(bodies[o.name()], "%s", secretNumber(700))
	}
	path := "/api" + strings.ReplaceAll(o.path, "{id}", id) + ask.query
	if o.path == "/events" && want == http.StatusOK {
		return r.askForStream(o, path)
	}
	return r.do(strings.ToUpper(o.method), path, body, ask.headers...).status
}

// askForStream reads the head of the answer only: a stream of events does not end.
func (r *rig) askForStream(o operation, path string) int {
	r.t.Helper()
	ctx, leave := context.WithTimeout(context.Background(), time.Minute)
	defer leave()
	req, _ := http.NewRequestWithContext(ctx, "GET", r.url+path, nil)
	req.Header.Set("Authorization", "Bearer "+adminToken)
	resp, err := r.http.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	r.contract.checkAnswer(r.t, o, resp.StatusCode, resp.Header, nil)
	return resp.StatusCode
}

// scenes lead to every status of the document.
func scenes() []scene {
	headers := func(names ...string) func(string) asked {
		return func(string) asked { return asked{headers: names} }
	}
	used := func(o string) asked {
		return asked{body: map[string]string{"POST /keys/delete": `{"ids":["spare"]}`}[o], query: map[string]string{"GET /objects": "?client=mine&family=file"}[o]}
	}
	return []scene{
		{status: 200, of: used},
		{status: 201},
		{status: 204},
		{status: 400, of: func(string) asked { return asked{query: "?no-such-parameter=1"} }},
		{status: 401, of: headers("Authorization", "Bearer sk-test-wrong-token")},
		{status: 403, set: func(r *rig) { r.Gate.(*auth.Tokens).Set(proxy.Secret{}, proxy.Secret{}) }},
		{status: 404, of: func(o string) asked {
			ask := asked{id: "no-such"}
			if strings.HasPrefix(o, "POST /keys/") {
				ask.body = `{"ids":["no-such"]}`
			}
			ask.query = map[string]string{"GET /objects": "?client=no-such&family=file"}[o]
			if strings.HasPrefix(o, "POST /objects") {
				ask.body = strings.Replace(bodies[o], `"client":"mine"`, `"client":"no-such"`, 1)
			}
			if strings.Contains(o, "{id}") {
				ask.body = map[string]string{"PATCH /keys/{id}": "{}", "PATCH /clients/{id}": "{}"}[o]
			}
			return ask
		}},
		{status: 409, with: settings{noBox: true, clients: true}, set: mistaken, of: conflicting},
		{status: 413, of: func(string) asked { return asked{body: strings.Repeat("x", mostBody+1)} }},
		{status: 429, with: settings{limiter: auth.NewFailureStore(), rate: limiter.Rate{Period: time.Hour, Limit: 1}}},
		{status: 500, set: func(r *rig) { r.Gate = brokenGate{} }},
		{status: 503, set: away, of: used},
	}
}

// mistaken is a rig whose configuration has a mistake, and no webhook.
func mistaken(r *rig) {
	r.members[0].Config.Error = "c.yaml:1:1: is not JSON"
	r.webhook = func() error { return proxy.Faultf(proxy.Conflict, "no webhook is configured") }
}

// conflicting asks for what does not go with what there is. There is no encryption key, either.
func conflicting(o string) asked {
	switch {
	case o == "POST /keys/delete":
		return asked{body: `{"ids":["of-file"]}`}
	case o == "POST /clients":
		return asked{body: `{"id":"mine"}`}
	case strings.Contains(o, "/keys"):
		return asked{id: "of-file"}
	default:
		return asked{id: "env-client"}
	}
}

// away is a rig whose shared state does not answer.
func away(r *rig) {
	r.store.Off(true)
	r.t.Cleanup(func() { r.store.Off(false) })
	r.Fleet = func(context.Context) ([]state.Replica, error) { return nil, state.ErrUnavailable }
	r.refresh = func() (int64, []state.Replica, error) { return 0, nil, state.ErrUnavailable }
	r.feed.close()
}

// brokenGate is a mistake of the proxy.
type brokenGate struct{ gate }

func (brokenGate) Admin(context.Context, http.Header, netip.Addr) error { panic("made up") }
