package rollout

import (
	"bytes"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// output is what a process wrote.
type output struct {
	mu sync.Mutex // guards b
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

// replica is a process of the real binary, and after a roll the next one on the same address.
type replica struct {
	binary, addr string
	env          []string
	process      *exec.Cmd
	log          *output
}

// launch starts the process and waits until it is ready.
func (r *replica) launch(t *testing.T) {
	t.Helper()
	r.log = new(output)
	r.process = exec.Command(r.binary)
	r.process.Dir = t.TempDir()
	r.process.Env = append([]string{"PATH=" + os.Getenv("PATH"), "LISTEN_ADDR=" + r.addr, "DATA_DIR=" + r.process.Dir}, r.env...)
	r.process.Stdout, r.process.Stderr = r.log, r.log
	if err := r.process.Start(); err != nil {
		t.Fatal(err)
	}
	process := r.process
	t.Cleanup(func() { process.Process.Kill(); process.Wait() })
	if !until(30*time.Second, func() bool { return get("http://"+r.addr+"/readyz") == http.StatusOK }) {
		t.Fatalf("a replica does not get ready:\n%s", r.log)
	}
}

// stop asks the process to stop and waits until it has drained, which it must do in good order.
func (r *replica) stop(t *testing.T) {
	t.Helper()
	r.process.Process.Signal(syscall.SIGTERM)
	if err := r.process.Wait(); err != nil || !strings.Contains(r.log.String(), `"stopped"`) {
		t.Errorf("a replica did not stop in good order: %v\n%s", err, r.log)
	}
}

func build(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "openai-api-proxy")
	// As it is released, so that the packages are compiled once for the test of the release and for this one.
	p := exec.Command("go", "build", "-trimpath", "-o", binary, "openai-api-proxy/cmd/openai-api-proxy")
	p.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := p.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return binary
}

func get(url string) int {
	resp, err := http.Get(url)
	if err != nil {
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}

// until waits until the condition holds.
func until(most time.Duration, holds func() bool) bool {
	for end := time.Now().Add(most); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if holds() {
			return true
		}
	}
	return false
}
