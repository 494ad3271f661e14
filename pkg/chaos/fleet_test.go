package chaos

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// binary builds the proxy, once for all tests.
func binary(t testing.TB) string {
	t.Helper()
	built.once.Do(func() {
		args := []string{"build", "-o", filepath.Join(built.dir, "openai-api-proxy")}
		if *raced {
			args = append(args, "-race")
		}
		out, err := exec.Command("go", append(args, "openai-api-proxy/cmd/openai-api-proxy")...).CombinedOutput()
		if err != nil {
			built.err = fmt.Errorf("build: %w\n%s", err, out)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return filepath.Join(built.dir, "openai-api-proxy")
}

// built is where TestMain wants the binary.
var built struct {
	once sync.Once
	dir  string
	err  error
}

// fleet is some replicas with one configuration.
type fleet []*replica

// replica is a process that is started again on the same directory and port.
type replica struct {
	t    testing.TB
	url  string
	dir  string // DATA_DIR
	env  []string
	log  *output
	bin  string
	http *http.Client

	mu      sync.Mutex // guards the rest; held while the process is killed and started
	process *exec.Cmd
	kills   []span // each from before its signal to after its end
}

// span is a stretch of time.
type span struct{ from, to time.Time }

// startFleet runs n replicas until the end of the test and waits until they are ready.
func startFleet(t testing.TB, n int, env ...string) fleet {
	t.Helper()
	f := make(fleet, n)
	for i := range f {
		port := stablePort(t)
		dir := t.TempDir()
		f[i] = &replica{t: t, url: "http://127.0.0.1:" + port, dir: dir, log: new(output), bin: binary(t),
			http: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 2 * time.Second},
			env: append([]string{"PATH=" + os.Getenv("PATH"), "LISTEN_ADDR=127.0.0.1:" + port, "DATA_DIR=" + dir,
				"ADMIN_TOKEN=" + adminToken, "LOG_LEVEL=warn"}, env...)}
		if err := f[i].start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(f[i].end)
	}
	for _, r := range f {
		if !r.readyWithin(20 * time.Second) {
			t.Fatalf("%s does not get ready\n%s", r.url, r.log)
		}
	}
	return f
}

// stablePort is a free port that no connection is given by chance while its replica is down: systems give those from 32768
// up.
func stablePort(t testing.TB) string {
	t.Helper()
	for range 200 {
		port := strconv.Itoa(12000 + rand.IntN(20000))
		if l, err := net.Listen("tcp", "127.0.0.1:"+port); err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal("no free port")
	return ""
}

func (r *replica) start() error {
	p := exec.Command(r.bin)
	p.Dir, p.Env, p.Stdout, p.Stderr = r.dir, r.env, r.log, r.log
	if err := p.Start(); err != nil {
		return fmt.Errorf("%s: %w", r.url, err)
	}
	r.process = p
	return nil
}

// kill ends the process as a crash would, and starts another in its place after a pause.
func (r *replica) kill(pause time.Duration) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	begin := time.Now()
	r.stopLocked()
	r.kills = append(r.kills, span{begin, time.Now()})
	time.Sleep(pause)
	return r.start()
}

func (r *replica) stopLocked() {
	if r.process != nil {
		r.process.Process.Signal(syscall.SIGKILL)
		r.process.Wait()
		r.process = nil
	}
}

func (r *replica) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopLocked()
}

// killed reports whether the process was killed at any time of the span.
func (r *replica) killed(from, to time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, k := range r.kills {
		if !k.to.Before(from) && !k.from.After(to) {
			return true
		}
	}
	return false
}

// killedAfter is when, after a moment, the process was killed next, if it was.
func (r *replica) killedAfter(at time.Time) (bool, time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, k := range r.kills { // in order
		if k.to.After(at) {
			return true, k.from
		}
	}
	return false, at
}

func (r *replica) readyWithin(d time.Duration) bool {
	return within(d, func() bool {
		resp, err := r.http.Get(r.url + "/readyz")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

// within waits until the condition holds, for so long at most, and reports whether it did.
func within(d time.Duration, holds func() bool) bool {
	for end := time.Now().Add(d); ; time.Sleep(20 * time.Millisecond) {
		if holds() {
			return true
		}
		if time.Now().After(end) {
			return false
		}
	}
}

// faults are lines of the logs that no replica should write.
func (f fleet) faults() (lines []string) {
	for _, r := range f {
		for line := range strings.Lines(r.log.String()) {
			away := strings.Contains(line, "redis does not answer")
			if strings.Contains(line, "DATA RACE") || strings.Contains(line, "panic") || strings.Contains(line, `"level":"ERROR"`) && !away {
				lines = append(lines, strings.TrimSpace(line))
			}
		}
	}
	return lines
}

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
