package app_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"openai-api-proxy/pkg/app"
	"openai-api-proxy/pkg/config"
	"openai-api-proxy/pkg/mockopenai"
	"openai-api-proxy/pkg/state/redisstate"
)

func TestMain(m *testing.M) {
	redisstate.Quiet()
	// The janitor of the store of failed authentications ends when the garbage collector finds it.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/ulule/limiter/v3/drivers/store/memory.(*cleaner).Run"))
}

const (
	adminToken  = "sk-test-admin-00000000000000000001"
	clientToken = "sk-test-client-0000000000000000001"
)

// keyNumber is a made-up upstream key.
func keyNumber(i int) string { return fmt.Sprintf("sk-test-key-%020d", i) }

// upstream starts a mock.
func upstream(t testing.TB, opts ...mockopenai.Option) (*mockopenai.Server, string) {
	t.Helper()
	mock := mockopenai.New(opts...)
	s := httptest.NewServer(mock)
	t.Cleanup(func() { mock.Close(); s.CloseClientConnections(); s.Close() })
	return mock, s.URL
}

// threeKeys is OPENAI_API_KEYS with three keys of three accounts.
func threeKeys() string {
	return fmt.Sprintf(`[{"id":"a","key":%q},{"id":"b","key":%q},{"id":"c","key":%q}]`, keyNumber(1), keyNumber(2), keyNumber(3))
}

// rig is a running proxy.
type rig struct {
	*app.App
	url  string
	logs *logBuffer
	http *http.Client
}

// logBuffer is a log that may be read while it is written.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// load reads a configuration from made-up variables.
func load(t testing.TB, env map[string]string) *config.Config {
	t.Helper()
	dir := t.TempDir()
	file := ""
	if text, ok := env["file"]; ok {
		file = text
	}
	cfg, err := config.Load(config.Source{
		Env:      func(name string) (string, bool) { v, ok := env[name]; return v, ok },
		ReadFile: func(string) ([]byte, error) { return []byte(file), nil },
		Dir:      dir,
	})
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// patience is how long replicas wait for a Redis that works: on a busy machine they would decide without it, which is another
// test.
const patience = 20 * time.Second

// start runs a proxy with the variables, on a free port, memory only unless DATA_DIR says otherwise. With "hasty" it waits
// for Redis no longer than in earnest.
func start(t testing.TB, env map[string]string) *rig {
	t.Helper()
	all := map[string]string{"LISTEN_ADDR": "127.0.0.1:0", "DATA_DIR": "", "ADMIN_TOKEN": adminToken, "DRAIN_TIMEOUT": "2s", "DRAIN_DELAY": "0s"}
	for k, v := range env {
		all[k] = v
	}
	logs := new(logBuffer)
	log := slog.New(slog.NewJSONHandler(logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	opts := app.Options{Version: "test", Log: log, Redis: []redisstate.Option{redisstate.WithBudgets(patience, patience)}}
	if all["hasty"] != "" {
		opts.Redis = nil
	}
	a, err := app.Start(t.Context(), load(t, all), opts)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 2000}
	r := &rig{App: a, url: "http://" + a.Addr(), logs: logs, http: &http.Client{Transport: transport}}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		if err := a.Stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return r
}

// answer is what a caller got.
type answer struct {
	status int
	header http.Header
	body   string
	err    error // while the body was read: the answer was cut
}

// whole reports whether a stream came to its own end.
func (a answer) whole() bool { return a.err == nil && strings.HasSuffix(a.body, "data: [DONE]\n\n") }

// code is the error code in the body.
func (a answer) code() string {
	var e struct{ Error struct{ Code string } }
	json.Unmarshal([]byte(a.body), &e)
	return e.Error.Code
}

const (
	plain    = `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Hello"}]}`
	streamed = `{"model":"gpt-4o-mini","stream":true,"messages":[{"role":"user","content":"Hello"}]}`
)

// post sends a body to a path with a token.
func (r *rig) post(t testing.TB, path, token, body string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "POST", r.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	return r.send(t, req, token)
}

func (r *rig) get(t testing.TB, path, token string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", r.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r.send(t, req, token)
}

func (r *rig) send(t testing.TB, req *http.Request, token string) answer {
	t.Helper()
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := r.http.Do(req)
	if err != nil {
		return answer{err: err}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(body), err}
}

func (r *rig) chat(t testing.TB, body string) answer {
	t.Helper()
	return r.post(t, "/v1/chat/completions", keyNumber(1), body)
}

// stats is GET /api/stats, in part.
type stats struct {
	Totals struct {
		Requests, Successes, Failures int64
		Tokens                        struct{ Input, Output int64 }
	}
	Keys []struct {
		ID, State                     string
		Requests, Successes, Failures int64
		Quota                         struct{ Limit, Used, Left int64 }
	}
	Clients, Models []struct {
		ID       string
		Requests int64
	}
}

func (r *rig) stats(t testing.TB) stats {
	t.Helper()
	a := r.get(t, "/api/stats", adminToken)
	var s stats
	if err := json.Unmarshal([]byte(a.body), &s); err != nil || a.status != 200 {
		t.Fatalf("stats: %d %s: %v", a.status, a.body, err)
	}
	return s
}

// keyState is the state of a key as /api/stats tells it.
func (r *rig) keyState(t testing.TB, id string) string {
	t.Helper()
	for _, k := range r.stats(t).Keys {
		if k.ID == id {
			return k.State
		}
	}
	return "absent"
}

// crowd calls f from so many goroutines, so often in all, and returns the answers.
func crowd(callers, calls int, f func(i int) answer) []answer {
	answers := make([]answer, calls)
	var wg sync.WaitGroup
	next := make(chan int)
	for range callers {
		wg.Go(func() {
			for i := range next {
				answers[i] = f(i)
			}
		})
	}
	for i := range calls {
		next <- i
	}
	close(next)
	wg.Wait()
	return answers
}

// eventually waits until the condition holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if holds() {
			return
		}
	}
	t.Fatalf("%s: not in a minute", what)
}
