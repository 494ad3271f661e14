package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// large is how much goes up and comes down at once, and growth by how much the proxy may grow meanwhile.
const (
	large  = 512 << 20
	growth = large / roomOf
)

// zeros are so many bytes of a file.
func zeros(n int64) io.Reader { return io.LimitReader(zero{}, n) }

type zero struct{}

func (zero) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// files is an upstream that swallows what comes and has one large file.
func files(t *testing.T) (env string, arrived *atomic.Int64) {
	arrived = new(atomic.Int64)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		arrived.Add(n)
		if r.Method == http.MethodGet {
			w.Header().Set("Content-Length", strconv.Itoa(large))
			_, _ = io.Copy(w, zeros(large))
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"id":"file-large","object":"file","created_at":1900000000,"text":"x"}`)
	}))
	t.Cleanup(s.Close)
	return "OPENAI_BASE_URL=" + s.URL, arrived
}

var residentLine = regexp.MustCompile(`VmRSS:\s+(\d+) kB`)

// resident is how much memory the process has.
func (p *process) resident() int64 {
	p.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	found := residentLine.FindSubmatch(text)
	if found == nil {
		p.t.Fatalf("no resident memory in %s", text)
	}
	kB, _ := strconv.ParseInt(string(found[1]), 10, 64)
	return kB << 10
}

// grown does something and reports by how much the process grew meanwhile, at most.
func (p *process) grown(do func()) (most int64) {
	p.t.Helper()
	idle := p.resident()
	done := make(chan struct{})
	go func() { defer close(done); do() }()
	for samples := 1; ; samples++ {
		select {
		case <-done:
			p.t.Logf("%d MB when idle, %d MB more at most, in %d samples", idle>>20, most>>20, samples)
			return most
		case <-time.After(5 * time.Millisecond):
			most = max(most, p.resident()-idle)
		}
	}
}

// form posts a form with so many bytes of a file between two texts.
func (p *process) form(path, before, after string, length bool) (status int, answer string) {
	begin := before + "--line\r\nContent-Disposition: form-data; name=\"file\"; filename=\"x.wav\"\r\nContent-Type: audio/wav\r\n\r\n"
	end := "\r\n" + after + "--line--\r\n"
	body := io.MultiReader(strings.NewReader(begin), zeros(large), strings.NewReader(end))
	req, _ := http.NewRequest("POST", p.url+path, body)
	if length {
		req.ContentLength = int64(len(begin) + large + len(end))
	}
	req.Header.Set("Content-Type", "multipart/form-data; boundary=line")
	return p.send(req, io.Discard)
}

func (p *process) send(req *http.Request, more io.Writer) (status int, answer string) {
	req.Header.Set("Authorization", "Bearer "+testKey)
	resp, err := p.http.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	n, err := io.Copy(more, resp.Body)
	return resp.StatusCode, fmt.Sprintf("%s and %d bytes %v", strings.Trim(string(text), "\x00"), n, err)
}

// Half a gigabyte goes up, with and without a length, and comes down, while the process grows by less than an eighth of it.
func TestLargeBodiesInAProcess(t *testing.T) {
	if _, err := os.Stat("/proc/self/status"); err != nil {
		t.Skip("what a process holds is read from /proc")
	}
	env, arrived := files(t)
	p := newProcess(t, env, "DATA_DIR=", "MAX_BODY_BYTES=600MiB")
	p.http.Timeout = time.Minute
	p.run()
	const purpose = "--line\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nuser_data\r\n"
	const model = "--line\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n"
	for i := range 20 { // what it holds in any case
		p.call(i)
	}
	for name, do := range map[string]func() (int, string){
		"up":                   func() (int, string) { return p.form("/v1/files", purpose, "", true) },
		"up, without a length": func() (int, string) { return p.form("/v1/files", "", purpose, false) },
		"a model behind":       func() (int, string) { return p.form("/v1/audio/transcriptions", "", model, true) },
	} {
		before := arrived.Load()
		if most := p.grown(func() {
			if status, answer := do(); status != 200 {
				t.Errorf("%s: %d %s", name, status, answer)
			}
		}); most > growth {
			t.Errorf("%s: it grew by %d MB", name, most>>20)
		}
		if n := arrived.Load() - before; n < large {
			t.Errorf("%s: %d bytes arrived", name, n)
		}
	}
	if most := p.grown(func() {
		req, _ := http.NewRequest("GET", p.url+"/v1/files/file-large/content", nil)
		status, answer := p.send(req, io.Discard)
		if want := fmt.Sprintf(" and %d bytes <nil>", large-1<<10); status != 200 || answer != want {
			t.Errorf("down: %d %s", status, answer)
		}
	}); most > growth {
		t.Errorf("down: it grew by %d MB", most>>20)
	}
}
