package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/ulule/limiter/v3"
	"go.uber.org/goleak"

	"openai-api-proxy/pkg/admission"
	"openai-api-proxy/pkg/auth"
	"openai-api-proxy/pkg/balancer"
	"openai-api-proxy/pkg/catalog"
	"openai-api-proxy/pkg/config"
	"openai-api-proxy/pkg/edge"
	"openai-api-proxy/pkg/mockopenai"
	"openai-api-proxy/pkg/openai"
	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/seal"
	"openai-api-proxy/pkg/state"
	"openai-api-proxy/pkg/state/memstate"
	"openai-api-proxy/pkg/state/statetest"
	"openai-api-proxy/pkg/upstream"
	"openai-api-proxy/pkg/usage"
)

func TestMain(m *testing.M) {
	// The janitor of the limiter's store ends when the garbage collector finds it.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/ulule/limiter/v3/drivers/store/memory.(*cleaner).Run"))
}

const (
	adminToken  = "sk-test-admin-aD5mN8pQ2wZ6xV9bK3hJ"
	clientToken = "sk-test-client-cL7tR4yU1iE6oP0sG5fW"
	fileSecret  = "sk-test-file-fK2vB8nM5qX9zL3jH6gT"
	envSecret   = "sk-test-env-eN4wS7dC1rY6uA9kP3mQ"
)

// secretNumber is a made-up upstream key.
func secretNumber(i int) string { return fmt.Sprintf("sk-test-key-%020d", i) }

// rig is the management API on real parts: catalog, embedded state, balancer, usage, the edge's engine in front.
type rig struct {
	*API
	t        testing.TB
	url      string
	engine   *gin.Engine
	store    *statetest.Switchable
	meter    *usage.Meter
	owners   *auth.Owners
	permits  *admission.Admission
	keys     *balancer.Balancer
	mock     *mockopenai.Server
	contract *contract
	http     *http.Client
	refresh  func() (int64, []state.Replica, error)
	self     state.Replica
	members  []state.Replica
	away     time.Time
	webhook  func() error // what becomes of a call
}

// settings of a rig.
type settings struct {
	noBox   bool
	limiter limiter.Store
	rate    limiter.Rate
	clients bool // one is configured in the environment
}

func newRig(t testing.TB, with ...settings) *rig {
	t.Helper()
	var set settings
	if len(with) > 0 {
		set = with[0]
	}
	log, reg := slog.New(slog.DiscardHandler), prometheus.NewRegistry()
	r := &rig{t: t, store: statetest.Switch(memstate.New()), mock: mockopenai.New()}
	up := httptest.NewServer(r.mock)
	t.Cleanup(func() { r.mock.Close(); up.CloseClientConnections(); up.Close() })
	ask := upstream.New(upstream.Options{IdleTimeout: time.Minute, WriteTimeout: time.Minute, Mask: func(b []byte) []byte { return b }})
	t.Cleanup(func() { _ = ask.Close() })
	r.keys = balancer.New(balancer.Options{Store: r.store, Confirm: ask.Confirm, Log: log, Metrics: reg})
	t.Cleanup(r.keys.Close)
	r.meter = usage.New(r.store, usage.Options{Replica: "r1", Log: log, Metrics: reg})
	t.Cleanup(func() { _ = r.meter.Close() })
	r.permits = admission.New(r.store, admission.Options{Log: log, Metrics: reg})
	t.Cleanup(func() { _ = r.permits.Close() })

	r.owners = auth.NewOwners(auth.OwnersOptions{Store: r.store, Log: log, Metrics: reg})
	t.Cleanup(func() { _ = r.owners.Close() })

	var box *seal.Box
	if !set.noBox {
		box, _ = seal.New([]proxy.Secret{seal.NewKey()})
	}
	cat := catalog.New(configured(t, up.URL, set.clients), catalog.Options{Store: r.store, Box: box, Apply: r.use, Replica: "r1", Log: log, Metrics: reg})
	cat.Republish()
	if err := r.keys.Restore(t.Context()); err != nil {
		t.Fatal(err)
	}

	gate := auth.New(auth.Options{Failures: auth.NewFailureStore(), Rate: limiter.Rate{Period: time.Minute, Limit: 100}, Log: log, Metrics: reg})
	e := edge.New(edge.Options{Usage: r.meter, Log: log, Metrics: reg})
	if set.limiter == nil {
		set.limiter, set.rate = auth.NewFailureStore(), limiter.Rate{Period: time.Minute, Limit: 1 << 30}
	}
	r.self = state.Replica{ID: "r1", Host: "host", Address: "127.0.0.1:1", Version: "test", Started: time.Now(), Ready: true,
		Config: state.ReplicaConfig{Fingerprint: "0123456789", Loaded: time.Now()}}
	r.members = []state.Replica{r.self}
	r.webhook = func() error { return nil }
	r.refresh = func() (int64, []state.Replica, error) { return 0, r.members, nil }
	r.API = New(Options{Gate: auth.NewAdmin(auth.AdminOptions{Token: proxy.NewSecret(adminToken), Gate: gate}), Catalog: cat, Keys: r.keys,
		Usage: r.meter, Quotas: r.permits, Owners: r.owners, Limiter: set.limiter, Rate: set.rate, Replica: func() state.Replica { return r.self },
		Fleet:    func(context.Context) ([]state.Replica, error) { return r.members, nil },
		Refresh:  func(context.Context) (int64, []state.Replica, error) { return r.refresh() },
		Degraded: func() time.Time { return r.away },
		Alerts: func(ctx context.Context, after string, limit int) ([]state.Alert, error) {
			return r.store.Told(ctx, after, limit)
		},
		Alerting:   func() Alerting { return Alerting{[]float64{.8, 1}, true} },
		TryWebhook: func(context.Context) error { return r.webhook() },
		Fixed:      func() []Fixed { return []Fixed{{"REDIS_URL", "not set", "default"}} },
		Metrics:    reg, ClientAddr: e.ClientAddr, Fail: edge.Fail, Log: log})
	r.used.every, r.used.wait = 0, readWithin // a test sees what it did
	r.engine = e.NewEngine()
	r.Mount(r.engine)
	server := httptest.NewServer(r.engine)
	transport := &http.Transport{}
	r.url, r.http = server.URL, &http.Client{Transport: transport}
	t.Cleanup(func() {
		_ = r.Close()
		transport.CloseIdleConnections()
		server.Close()
	})
	text, err := r.spec()
	if err != nil {
		t.Fatal(err)
	}
	r.contract = newContract(t, text)
	return r
}

// use puts a snapshot in force, as the app does.
func (r *rig) use(s *catalog.Snapshot) {
	pool := balancer.Pool{Strategy: s.Settings.Strategy, Policy: balancer.Policy{FailureThreshold: 5, OpenTimeout: time.Minute, MaxRest: time.Hour}}
	for _, k := range s.Keys {
		pool.Keys = append(pool.Keys, k.Key)
	}
	r.keys.Configure(pool)
}

// configured is a configuration with one key in the file and one in the environment.
func configured(t testing.TB, upstreamURL string, clients bool) *config.Config {
	t.Helper()
	env := map[string]string{"OPENAI_BASE_URL": upstreamURL, "DATA_DIR": "", "ADMIN_TOKEN": adminToken, "CONFIG_FILE": "c.yaml",
		"OPENAI_API_KEYS": `[{"id":"of-env","key":"` + envSecret + `","account":"org-env"}]`}
	if clients {
		env["CLIENT_TOKENS"] = `[{"id":"env-client","token":"` + clientToken + `","rpm":60}]`
	}
	file := "strategy: weighted\nkeys:\n  - {id: of-file, key: " + fileSecret + `, weight: 3, quota: 1000, models: ["gpt-4o*"], tags: [eu], note: by the file}`
	cfg, err := config.Load(config.Source{Env: func(name string) (string, bool) { v, ok := env[name]; return v, ok },
		ReadFile: func(string) ([]byte, error) { return []byte(file), nil }, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// reply is an answer.
type reply struct {
	status int
	header http.Header
	body   string
	doc    map[string]any
}

// code is the code of an error.
func (a reply) code() string {
	e, _ := a.doc["error"].(map[string]any)
	code, _ := e["code"].(string)
	return code
}

func (a reply) message() string {
	e, _ := a.doc["error"].(map[string]any)
	text, _ := e["message"].(string)
	return text
}

// data are the elements of a list.
func (a reply) data() (all []map[string]any) {
	list, _ := a.doc["data"].([]any)
	for _, one := range list {
		all = append(all, one.(map[string]any))
	}
	return all
}

func (a reply) ids() (all []string) {
	for _, one := range a.data() {
		all = append(all, one["id"].(string))
	}
	return all
}

// raw makes a request without a look at the contract. headers are names and values in turn.
func (r *rig) raw(method, path, body string, headers ...string) (reply, *http.Request) {
	r.t.Helper()
	a, req := r.unread(method, path, body, headers...)
	_ = json.Unmarshal([]byte(a.body), &a.doc)
	return a, req
}

// unread is raw without the reading of the answer's JSON, which takes longer than to write it.
func (r *rig) unread(method, path, body string, headers ...string) (reply, *http.Request) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, r.url+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+adminToken)
	if body != "" {
		req.Header.Set("Content-Type", jsonType)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := r.http.Do(req)
	if err != nil {
		r.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatalf("%s %s: %v", method, path, err)
	}
	return reply{status: resp.StatusCode, header: resp.Header, body: string(text)}, req
}

// do makes a request and holds it, and what is answered, against the contract.
func (r *rig) do(method, path, body string, headers ...string) reply {
	r.t.Helper()
	a, req := r.raw(method, path, body, headers...)
	o, found := r.contract.find(method, req.URL.Path)
	if !found {
		r.t.Fatalf("%s %s is not documented", method, req.URL.Path)
	}
	r.contract.checkAnswer(r.t, o, a.status, a.header, []byte(a.body))
	if a.status < 300 {
		r.contract.checkRequest(r.t, o, req, []byte(body))
	}
	return a
}

// want fails unless the answer has the status, and for errors the code.
func (a reply) want(t testing.TB, status int, code ...string) reply {
	t.Helper()
	if a.status != status || len(code) > 0 && a.code() != code[0] {
		t.Fatalf("answered %d %s, want %d %v: %.400s", a.status, a.code(), status, code, a.body)
	}
	return a
}

// finished records a request and waits until it is written.
func (r *rig) finished(key, client, model string, status int) {
	r.t.Helper()
	rec := &proxy.Record{ID: "req_" + key + client + model + fmt.Sprint(status), Start: time.Now(), Method: "POST", Operation: "/v1/chat/completions",
		Client: client, ClientIP: "127.0.0.1", Model: model, Key: key, Status: status, Total: 20 * time.Millisecond,
		Usage: openai.Usage{Input: 10, Output: 5, Basis: openai.Exact}, Attempts: []proxy.Attempt{{Key: key, Account: key, Status: status, Took: time.Millisecond}}}
	if status >= 500 {
		rec.Attempts[0].Outcome = proxy.KeyFailed
	}
	r.meter.Record(rec)
	for range 6000 {
		page, err := r.store.Requests(context.Background(), state.RequestQuery{ID: rec.ID, Limit: 1})
		if err == nil && len(page.Requests) == 1 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	r.t.Fatal("a request is not written")
}

// text encodes a value.
func text(v any) string {
	var b bytes.Buffer
	_ = json.NewEncoder(&b).Encode(v)
	return b.String()
}
