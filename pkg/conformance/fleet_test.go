package conformance

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"openai-api-proxy/pkg/redistest"
)

// replica is a process of the real binary.
type replica struct {
	url     string
	process *exec.Cmd
	log     *output
}

// launch starts a replica without asking it to stop at the end: the test kills it.
func launch(t *testing.T, env []string, as func(*exec.Cmd)) *replica {
	t.Helper()
	port := redistest.FreePort(t)
	r := &replica{url: "http://127.0.0.1:" + port, log: new(output), process: exec.Command(filepath.Join(binaries, "openai-api-proxy"))}
	r.process.Env = append(env, "LISTEN_ADDR=127.0.0.1:"+port)
	r.process.Dir = t.TempDir()
	r.process.Stdout, r.process.Stderr = r.log, r.log
	if as != nil {
		as(r.process)
	}
	if err := r.process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.kill)
	eventually(t, "ready", func() bool {
		resp, err := http.Get(r.url + "/readyz")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == 200
	})
	return r
}

func (r *replica) kill() {
	r.process.Process.Kill()
	r.process.Wait()
}

func (r *replica) call(t *testing.T) int {
	req, _ := http.NewRequestWithContext(t.Context(), "POST", r.url+"/v1/chat/completions", strings.NewReader(body))
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}

// Three processes share one rotation; one is killed half-way and another one joins.
func TestSharesWithAKilledReplica(t *testing.T) {
	http.DefaultTransport.(*http.Transport).MaxIdleConnsPerHost = 64
	mock, redis := startMock(t), redistest.Start(t)
	keys := make([]string, 5)
	for i := range keys {
		keys[i] = fmt.Sprintf(`{"id":"k%d","key":"sk-test-fleet-%d","weight":%d}`, i+1, i+1, i+1)
	}
	config := filepath.Join(t.TempDir(), "c.json")
	os.WriteFile(config, []byte(`{"strategy":"weighted"}`), 0o600)
	env := []string{"OPENAI_BASE_URL=" + mock, "REDIS_URL=" + redis.URL(), "CONFIG_FILE=" + config, "LOG_LEVEL=warn",
		"OPENAI_API_KEYS=[" + strings.Join(keys, ",") + "]", fmt.Sprintf(`CLIENT_TOKENS=[{"id":"sdk","token":%q}]`, token)}
	replicas := []*replica{launch(t, env, nil), launch(t, env, nil), launch(t, env, nil)}
	const calls = 6000
	load := func() {
		var wg sync.WaitGroup
		for i := range 12 {
			wg.Go(func() {
				for range calls / 2 / 12 {
					if status := replicas[i%3].call(t); status != 200 {
						t.Errorf("replica %d answered %d", i%3, status)
					}
				}
			})
		}
		wg.Wait()
	}
	load()
	replicas[2].kill()
	replicas[2] = launch(t, env, nil)
	load()
	r := rig{mock: mock}
	got := r.requests(t)
	for i := range keys {
		n, want := float64(got[fmt.Sprintf("sk-test-fleet-%d", i+1)]), float64(calls*(i+1))/15
		// 1 %, and a block of at most a second of traffic for each of the four replicas that there were, by the keys' shares.
		if slack := want*.01 + 4*300*float64(i+1)/15; n < want-slack || n > want+slack {
			t.Errorf("the key of weight %d got %v of %d requests, want %.0f", i+1, n, calls, want)
		} else {
			t.Logf("the key of weight %d got %v of %d requests, want %.0f", i+1, n, calls, want)
		}
	}
	for _, r := range replicas {
		if strings.Contains(r.log.String(), "DATA RACE") {
			t.Error(r.log)
		}
	}
}

// What the image runs, as it runs it: a static binary that is alone on its root, as user 65532, who may write to /data only.
func TestAsTheImageRunsIt(t *testing.T) {
	root := t.TempDir()
	build := exec.Command("go", "build", "-trimpath", "-o", filepath.Join(root, "openai-api-proxy"), "./cmd/openai-api-proxy")
	build.Dir = "../.."
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	os.Mkdir(filepath.Join(root, "data"), 0o700)
	os.Chown(filepath.Join(root, "data"), 65532, 65532)
	for dir := root; dir != "/"; dir = filepath.Dir(dir) {
		os.Chmod(dir, 0o755) // the test's folders are its own; here another user walks through them
	}
	data, isRoot := "/data", os.Geteuid() == 0
	inside := func(p *exec.Cmd) {
		if !isRoot {
			p.Path = filepath.Join(root, "openai-api-proxy") // nobody else may change the root or the user
			return
		}
		p.Path, p.Dir = "/openai-api-proxy", "/"
		p.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: 65532, Gid: 65532}}
	}
	if !isRoot {
		data = filepath.Join(root, "data")
	}
	env := []string{"DATA_DIR=" + data, "OPENAI_BASE_URL=" + startMock(t), "OPENAI_API_KEY=" + token}
	r := launch(t, env, inside)
	if status := r.call(t); status != 200 {
		t.Errorf("answered %d\n%s", status, r.log)
	}
	_, port, _ := strings.Cut(strings.TrimPrefix(r.url, "http://"), ":")
	check := exec.Command("/openai-api-proxy", "healthcheck")
	inside(check)
	check.Env = append(env, "LISTEN_ADDR=0.0.0.0:"+port)
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("healthcheck: %v %s", err, out)
	}
	r.process.Process.Signal(syscall.SIGTERM)
	done := make(chan error, 1)
	go func() { done <- r.process.Wait() }()
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("%v\n%s", err, r.log)
		}
	case <-time.After(time.Minute):
		t.Error("does not stop")
	}
	entries, _ := os.ReadDir(root)
	if len(entries) != 2 {
		t.Errorf("it wrote outside of /data: %v", entries)
	}
}
