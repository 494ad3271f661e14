package cli_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"openai-api-proxy/pkg/app"
	"openai-api-proxy/pkg/cli"
	"openai-api-proxy/pkg/config"
	"openai-api-proxy/pkg/mockopenai"
	"openai-api-proxy/pkg/state/redisstate"
)

func TestMain(m *testing.M) {
	redisstate.Quiet()
	m.Run()
}

const (
	adminToken  = "sk-test-admin-00000000000000000001"
	clientToken = "sk-test-client-0000000000000000001"
	// sealingKey is 32 bytes.
	sealingKey = "c2stdGVzdC1lbmNyeXB0aW9uLWtleS0wMDAwMDAwMDE="
)

func keyNumber(i int) string { return fmt.Sprintf("sk-test-key-%020d", i) }

func upstream(t *testing.T) string {
	t.Helper()
	mock := mockopenai.New()
	s := httptest.NewServer(mock)
	t.Cleanup(func() { mock.Close(); s.CloseClientConnections(); s.Close() })
	return s.URL
}

// proxy is a running proxy.
type proxy struct {
	*app.App
	url string
}

// start runs a proxy in front of a mock, with one client of its own; variables replace the usual ones.
func start(t *testing.T, variables map[string]string) *proxy {
	t.Helper()
	env := map[string]string{"LISTEN_ADDR": "127.0.0.1:0", "DATA_DIR": "", "ADMIN_TOKEN": adminToken, "DRAIN_TIMEOUT": "1s", "DRAIN_DELAY": "0s",
		"OPENAI_API_KEYS": fmt.Sprintf(`[{"id":"a","key":%q},{"id":"b","key":%q}]`, keyNumber(1), keyNumber(2)),
		"CLIENT_TOKENS":   fmt.Sprintf(`[{"id":"mine","token":%q}]`, clientToken)}
	for name, value := range variables {
		env[name] = value
	}
	if env["OPENAI_BASE_URL"] == "" {
		env["OPENAI_BASE_URL"] = upstream(t)
	}
	if env["dir"] == "" {
		env["dir"] = t.TempDir()
	}
	load := func() (*config.Config, error) {
		return config.Load(config.Source{Env: func(name string) (string, bool) { v, ok := env[name]; return v, ok }, Dir: env["dir"],
			ReadFile: func(string) ([]byte, error) { return []byte(env["file"]), nil }})
	}
	cfg, err := load()
	if err != nil {
		t.Fatal(err)
	}
	a, err := app.Start(t.Context(), cfg, app.Options{Version: "test", Load: load, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Redis: []redisstate.Option{redisstate.WithBudgets(20*time.Second, 20*time.Second)}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return &proxy{a, "http://" + a.Addr()}
}

// chat makes one request as a client and returns its id.
func (p *proxy) chat(t *testing.T) string {
	t.Helper()
	req, _ := http.NewRequestWithContext(t.Context(), "POST", p.url+"/v1/chat/completions",
		strings.NewReader(`{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Hello"}]}`))
	req.Header.Set("Authorization", "Bearer "+clientToken)
	req.Header.Set("Content-Type", "application/json")
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Fatalf("answered %s", resp.Status)
	}
	return resp.Header.Get("X-Proxy-Request-Id")
}

// buffer may be read while it is written.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *buffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *buffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// result is what a command line did.
type result struct {
	code     int
	out, err string
}

// shell runs command lines.
type shell struct {
	env map[string]string
	mu  sync.Mutex // guards said
	// said is all that was ever printed.
	said strings.Builder
}

func shellFor(url string) *shell {
	return &shell{env: map[string]string{"PROXY_URL": url, "ADMIN_TOKEN": adminToken, "DATA_DIR": ""}}
}

func (s *shell) run(t *testing.T, in string, line ...string) result {
	t.Helper()
	return s.runUntil(t.Context(), new(buffer), in, line...)
}

func (s *shell) runUntil(ctx context.Context, out *buffer, in string, line ...string) result {
	var errs bytes.Buffer
	o := cli.Options{In: strings.NewReader(in), Out: out, Err: &errs,
		Env: func(name string) (string, bool) { v, ok := s.env[name]; return v, ok }}
	r := result{code: cli.Run(ctx, o, line), out: out.String(), err: errs.String()}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.said.WriteString(r.out + r.err)
	return r
}

// ok runs a command line that must succeed and print all of the texts.
func (s *shell) ok(t *testing.T, in string, line []string, texts ...string) result {
	t.Helper()
	r := s.run(t, in, line...)
	if r.code != cli.Done {
		t.Errorf("%q ended with %d:\n%s%s", line, r.code, r.out, r.err)
	}
	for _, text := range texts {
		if !strings.Contains(r.out, text) {
			t.Errorf("%q does not say %q:\n%s%s", line, text, r.out, r.err)
		}
	}
	return r
}

// fails runs a command line that must end with the code and say the text.
func (s *shell) fails(t *testing.T, code int, line []string, text string) result {
	t.Helper()
	r := s.run(t, "", line...)
	if r.code != code || !strings.Contains(r.out+r.err, text) {
		t.Errorf("%q ended with %d, want %d and %q:\n%s%s", line, r.code, code, text, r.out, r.err)
	}
	return r
}

func words(line string) []string { return strings.Fields(line) }

// eventually waits until the condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if holds() {
			return
		}
	}
	t.Fatalf("%s: not in a minute", what)
}

// balance is a load balancer: it gives each connection to the next of the addresses.
func balance(t *testing.T, addresses ...string) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var conns sync.WaitGroup
	var next atomic.Int64
	t.Cleanup(func() { l.Close(); conns.Wait() })
	conns.Go(func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			to, err := net.Dial("tcp", addresses[int(next.Add(1))%len(addresses)])
			if err != nil {
				from.Close()
				continue
			}
			conns.Go(func() { defer to.Close(); defer from.Close(); io.Copy(to, from) })
			conns.Go(func() { defer to.Close(); defer from.Close(); io.Copy(from, to) })
		}
	})
	return "http://" + l.Addr().String()
}
