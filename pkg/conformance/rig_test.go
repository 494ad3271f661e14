package conformance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"openai-api-proxy/pkg/redistest"
)

// binaries is the folder with the programs under test.
var binaries string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "conformance")
	if err != nil {
		panic(err)
	}
	build := exec.Command("go", "build", "-race", "-o", dir+"/", "./cmd/...")
	build.Dir = "../.."
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		panic(err)
	}
	binaries = dir
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// made-up keys and tokens
const (
	keyA  = "sk-test-conformance-a-00000001"
	keyB  = "sk-test-conformance-b-00000001"
	keyC  = "sk-test-conformance-c-00000001"
	token = "sk-test-token-0123456789abcdef"
)

// output is what a process wrote.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// run starts one of the programs and waits until the URL answers 200; see await.
func run(t testing.TB, ready string, env []string, name string, args ...string) *output {
	t.Helper()
	return await(t, ready, env, exec.Command(filepath.Join(binaries, name), args...))
}

// await starts a process and waits until the URL answers 200. At the end of the test it is asked to stop, which it must do
// with exit code 0 and without a data race.
func await(t testing.TB, ready string, env []string, p *exec.Cmd) *output {
	t.Helper()
	name, out := filepath.Base(p.Path), new(output)
	p.Dir = t.TempDir()
	p.Env = append([]string{"PATH=" + os.Getenv("PATH")}, env...)
	p.Stdout, p.Stderr = out, out
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Process.Signal(syscall.SIGTERM)
		if err := p.Wait(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
		if strings.Contains(out.String(), "DATA RACE") {
			t.Errorf("%s: %s", name, out)
		}
	})
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if resp, err := http.Get(ready); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return out
			}
		}
	}
	t.Fatalf("%s does not get ready:\n%s", name, out)
	return nil
}

// rig is a mock upstream and a proxy in front of it.
type rig struct {
	mock, url, port string
	dir             string // the proxy's data
	log             *output
}

func startMock(t testing.TB) string {
	t.Helper()
	addr := "127.0.0.1:" + redistest.FreePort(t)
	run(t, "http://"+addr+"/_stats", nil, "mockopenai", "-addr", addr, "-chunks", "20")
	return "http://" + addr
}

// start runs both; variables replace the usual ones.
func start(t testing.TB, variables ...string) *rig {
	t.Helper()
	r := &rig{mock: startMock(t), port: redistest.FreePort(t), dir: t.TempDir()}
	r.url = "http://127.0.0.1:" + r.port
	env := append([]string{"LISTEN_ADDR=127.0.0.1:" + r.port, "OPENAI_BASE_URL=" + r.mock, "DATA_DIR=" + r.dir,
		fmt.Sprintf(`OPENAI_API_KEYS=[{"id":"a","key":%q},{"id":"b","key":%q},{"id":"c","key":%q}]`, keyA, keyB, keyC),
		fmt.Sprintf(`CLIENT_TOKENS=[{"id":"sdk","token":%q}]`, token)}, variables...)
	r.log = run(t, r.url+"/readyz", env, "openai-api-proxy")
	return r
}

// client is the SDK as an application would make it, but that it does not try again itself.
func (r *rig) client(opts ...option.RequestOption) openai.Client {
	return openai.NewClient(append([]option.RequestOption{option.WithBaseURL(r.url + "/v1"), option.WithAPIKey(token),
		option.WithMaxRetries(0)}, opts...)...)
}

// fault makes the mock fail.
func (r *rig) fault(t testing.TB, f map[string]any) { r.control(t, "/_fault", f) }

// configure changes settings of the mock.
func (r *rig) configure(t testing.TB, settings map[string]any) { r.control(t, "/_config", settings) }

func (r *rig) control(t testing.TB, path string, what map[string]any) {
	t.Helper()
	body, _ := json.Marshal(what)
	resp, err := http.Post(r.mock+path, "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		text, _ := io.ReadAll(resp.Body)
		t.Fatalf("%s %v: %s %s", path, what, resp.Status, text)
	}
}

// asked is the requests that the mock received.
func (r *rig) asked(t testing.TB) []struct{ Path, Body, Key string } {
	t.Helper()
	var all []struct{ Path, Body, Key string }
	resp, err := http.Get(r.mock + "/_requests")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&all); err != nil {
		t.Fatal(err)
	}
	return all
}

// aborted is how many requests the mock saw their callers leave.
func (r *rig) aborted(t testing.TB) (n int64) {
	t.Helper()
	resp, err := http.Get(r.mock + "/_stats")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var stats map[string]struct{ Aborted int64 }
	if err := json.NewDecoder(resp.Body).Decode(&stats); err != nil {
		t.Fatal(err)
	}
	for _, s := range stats {
		n += s.Aborted
	}
	return n
}

// eventually waits until the condition holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if holds() {
			return
		}
	}
	t.Fatalf("%s: not in a minute", what)
}

// requests is how many requests the mock received, by key.
func (r *rig) requests(t testing.TB) map[string]int64 {
	t.Helper()
	resp, err := http.Get(r.mock + "/_stats")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var stats map[string]struct{ Requests int64 }
	if err := json.NewDecoder(resp.Body).Decode(&stats); err != nil {
		t.Fatal(err)
	}
	all := map[string]int64{}
	for key, s := range stats {
		all[key] = s.Requests
	}
	return all
}
