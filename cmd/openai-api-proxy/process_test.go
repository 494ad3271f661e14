package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"openai-api-proxy/pkg/mockopenai"
	"openai-api-proxy/pkg/redistest"
)

// asProxy makes this test binary the proxy.
const asProxy = "OAP_TEST_AS_PROXY"

func TestMain(m *testing.M) {
	if os.Getenv(asProxy) != "" {
		os.Args = os.Args[:1]
		main()
		return
	}
	os.Exit(m.Run())
}

const (
	adminToken = "sk-test-admin-00000000000000000001"
	testKey    = "sk-test-key-00000000000000000001"
)

// process is a proxy in a process of its own, on the same port whenever it runs.
type process struct {
	t    *testing.T
	env  []string
	url  string
	wrap []string // a command that runs it
	cmd  *exec.Cmd
	logs *safeBuffer
	http *http.Client
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// newProcess prepares a proxy with these settings, "NAME=value".
func newProcess(t *testing.T, env ...string) *process {
	addr := "127.0.0.1:" + redistest.FreePort(t)
	p := &process{t: t, url: "http://" + addr, logs: new(safeBuffer),
		http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}, Timeout: 20 * time.Second}}
	p.env = append([]string{asProxy + "=1", "LISTEN_ADDR=" + addr, "ADMIN_TOKEN=" + adminToken, "OPENAI_API_KEY=" + testKey,
		"PATH=" + os.Getenv("PATH"), "LOG_LEVEL=warn", "REQUESTS_KEPT=1000000"}, env...)
	t.Cleanup(func() {
		p.kill()
		p.http.CloseIdleConnections()
		if t.Failed() {
			t.Logf("the log of %s:\n%s", p.url, p.logs)
		}
	})
	return p
}

// start starts it.
func (p *process) start() {
	p.t.Helper()
	args := append(append([]string{}, p.wrap...), os.Args[0])
	p.cmd = exec.Command(args[0], args[1:]...)
	p.cmd.Dir, p.cmd.Env, p.cmd.Stderr = p.t.TempDir(), p.env, p.logs
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
}

// run starts it and waits until it is ready.
func (p *process) run() {
	p.t.Helper()
	p.start()
	eventually(p.t, "ready", func() bool {
		resp, err := p.http.Get(p.url + "/readyz")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

// kill ends it at once.
func (p *process) kill() {
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
	p.cmd = nil
}

// ask asks an operator's question.
func (p *process) ask(path string, into any) {
	p.t.Helper()
	req, _ := http.NewRequestWithContext(p.t.Context(), "GET", p.url+path, nil)
	req.Header.Set("Authorization", "Bearer "+adminToken)
	resp, err := p.http.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		p.t.Fatalf("%s: %d %s %v", path, resp.StatusCode, text, err)
	}
	if raw, ok := into.(*string); ok {
		*raw = string(text)
	} else if err := json.Unmarshal(text, into); err != nil {
		p.t.Fatalf("%s: %s: %v", path, text, err)
	}
}

// metric is the value of a metric without labels.
func (p *process) metric(name string) (value float64) {
	p.t.Helper()
	var text string
	p.ask("/metrics", &text)
	for line := range strings.Lines(text) {
		if _, err := fmt.Sscanf(line, name+" %g", &value); err == nil {
			return value
		}
	}
	p.t.Fatalf("no metric %s", name)
	return 0
}

// called is what a caller saw of one request.
type called struct {
	id    string
	whole bool // the answer came to its end
	what  string
}

var bodies = []string{
	`{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Hello"}]}`,
	`{"model":"gpt-4o-mini","stream":true,"messages":[{"role":"user","content":"Hello"}]}`,
	`{"model":"made-up","messages":"wrong"}`,
}

// call makes one of three kinds of requests.
func (p *process) call(i int) called {
	req, _ := http.NewRequest("POST", p.url+"/v1/chat/completions", strings.NewReader(bodies[i%len(bodies)]))
	req.Header.Set("Authorization", "Bearer "+testKey)
	req.Header.Set("Content-Type", "application/json")
	resp, err := p.http.Do(req)
	if err != nil {
		return called{}
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	// One that is just starting refuses everybody, and counts nobody.
	return called{resp.Header.Get("X-Proxy-Request-Id"), err == nil && resp.StatusCode != http.StatusServiceUnavailable,
		fmt.Sprintf("%s %d %.150q", time.Now().Format("05.000"), resp.StatusCode, text)}
}

// mock is an upstream whose answers are too long for the buffers of a server.
func mock(t *testing.T) (*mockopenai.Server, string) {
	m := mockopenai.New(mockopenai.WithSettings(mockopenai.Settings{Chunks: 20, ContentBytes: 20_000, JitterMS: 3}))
	s := httptest.NewServer(m)
	t.Cleanup(func() { m.Close(); s.CloseClientConnections(); s.Close() })
	return m, "OPENAI_BASE_URL=" + s.URL
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(60 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if holds() {
			return
		}
	}
	t.Fatalf("%s: not in a minute", what)
}
