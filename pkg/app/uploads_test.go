package app_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidwall/gjson"
)

// large is how much goes up and down, in bytes; the race detector is too slow for more.
const large = 256 << 20

// zeros are so many bytes of a file.
func zeros(n int64) io.Reader { return io.LimitReader(zero{}, n) }

type zero struct{}

func (zero) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// sink is an upstream that swallows uploads, notes their key and size, and has one large file.
func sink(t *testing.T) (url string, key *atomic.Value, size *atomic.Int64) {
	key, size = new(atomic.Value), new(atomic.Int64)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		size.Store(n)
		key.Store(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
		if r.Method == "GET" {
			w.Header().Set("Content-Length", strconv.Itoa(large))
			io.Copy(w, zeros(large))
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"id":"file-large","object":"file","created_at":1900000000,"text":"x"}`)
	}))
	t.Cleanup(s.Close)
	return s.URL, key, size
}

// flat runs f and reports by how many bytes the heap grew meanwhile.
func flat(f func()) (grown int64) {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	before, most := int64(m.HeapInuse), int64(0)
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	for {
		select {
		case <-done:
			return most
		case <-time.After(20 * time.Millisecond):
			runtime.ReadMemStats(&m)
			most = max(most, int64(m.HeapInuse)-before)
		}
	}
}

func (r *rig) upload(t *testing.T, path, token, head string) answer {
	t.Helper()
	return r.form(t, path, token, head, "", large)
}

// form sends a file of so many bytes, between what comes before and behind it.
func (r *rig) form(t *testing.T, path, token, head, tail string, size int64) answer {
	t.Helper()
	end := "\r\n" + tail + "--line--\r\n"
	head += "--line\r\nContent-Disposition: form-data; name=\"file\"; filename=\"x.wav\"\r\n\r\n"
	body := io.MultiReader(strings.NewReader(head), zeros(size), strings.NewReader(end))
	req, err := http.NewRequestWithContext(t.Context(), "POST", r.url+path, body)
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = int64(len(head)) + size + int64(len(end))
	req.Header.Set("Content-Type", "multipart/form-data; boundary=line")
	return r.send(t, req, token)
}

// Files of any size pass up and down while the proxy holds a few of their bytes; what is made is remembered all the same.
func TestLargeFilesPass(t *testing.T) {
	url, _, size := sink(t)
	r := start(t, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEYS": threeKeys(), "CLIENT_TOKENS": owning, "MAX_BODY_BYTES": "600MiB"})
	var a answer
	grown := flat(func() {
		a = r.upload(t, "/v1/files", tokenOfA, "--line\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n")
	})
	if a.status != 200 || size.Load() < large || grown > large/16 {
		t.Errorf("up: %d %s %v, %d bytes arrived, the heap grew by %d", a.status, a.body, a.err, size.Load(), grown)
	}
	t.Logf("up: the heap grew by %d KiB", grown>>10)
	var n int64
	grown = flat(func() {
		req, _ := http.NewRequestWithContext(t.Context(), "GET", r.url+"/v1/files/file-large/content", nil)
		req.Header.Set("Authorization", "Bearer "+tokenOfA)
		resp, err := r.http.Do(req)
		if err == nil {
			n, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
	})
	if n != large || grown > large/16 {
		t.Errorf("down: %d bytes, the heap grew by %d", n, grown)
	}
	t.Logf("down: the heap grew by %d KiB", grown>>10)
	if a := r.get(t, "/v1/files/file-large/content", tokenOfB); a.status != 404 {
		t.Errorf("another client: %d", a.status)
	}
}

// The model of a form is read where it stands before the file, so that a key is picked that serves it.
func TestModelOfALargeForm(t *testing.T) {
	url, key, _ := sink(t)
	r := start(t, map[string]string{"OPENAI_BASE_URL": url, "CLIENT_TOKENS": owning,
		"OPENAI_API_KEYS": fmt.Sprintf(`[{"id":"a","key":%q,"models":["gpt-*"]},{"id":"b","key":%q,"models":["whisper-*"]}]`, keyNumber(1), keyNumber(2))})
	for range 2 {
		a := r.upload(t, "/v1/audio/transcriptions", tokenOfA, "--line\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n")
		if a.status != 200 || key.Load() != keyNumber(2) {
			t.Errorf("%d %s, with %v", a.status, a.body, key.Load())
		}
	}
	if a := r.upload(t, "/v1/audio/transcriptions", tokenOfA, "--line\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\ntts-1\r\n"); a.status != 400 {
		t.Errorf("a model that no key serves: %d %s", a.status, a.body)
	}
}

// A model that stands behind the file is read if the form is held, and else by nobody: any key of the pool will do, and a client who
// is limited to some models is refused.
func TestModelBehindALargeFile(t *testing.T) {
	url, key, size := sink(t)
	r := start(t, map[string]string{"OPENAI_BASE_URL": url, "CLIENT_TOKENS": strings.TrimSuffix(owning, "]") +
		fmt.Sprintf(`,{"id":"models","token":%q,"models":["whisper-*"]},{"id":"tokens","token":%q,"tpm":1000000}]`, tokenOf("models"), tokenOf("tokens")),
		"CONFIG_FILE": "c.json", "file": `{"limits":{"replayBytes":1000000}}`,
		"OPENAI_API_KEYS": fmt.Sprintf(`[{"id":"a","key":%q,"models":["gpt-*"]},{"id":"b","key":%q,"models":["whisper-*"]}]`, keyNumber(1), keyNumber(2))})
	const path, model = "/v1/audio/transcriptions", "--line\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n"
	for range 4 {
		for _, token := range []string{tokenOfA, tokenOf("models"), tokenOf("tokens")} {
			if a := r.form(t, path, token, "", model, 900_000); a.status != 200 || key.Load() != keyNumber(2) {
				t.Errorf("held: %d %s, with %v", a.status, a.body, key.Load())
			}
		}
	}
	seen := map[any]bool{}
	for range 4 {
		if a := r.form(t, path, tokenOfA, "", model, 2_000_000); a.status != 200 || size.Load() < 2_000_000 {
			t.Errorf("not held: %d %s, %d bytes arrived", a.status, a.body, size.Load())
		}
		seen[key.Load()] = true
	}
	if len(seen) != 2 {
		t.Errorf("not held: with %v", seen)
	}
	for _, token := range []string{tokenOf("models"), tokenOf("tokens")} {
		for _, order := range [][2]string{{"", model}, {model, ""}} {
			if a := r.form(t, path, token, order[0], order[1], 2_000_000); a.status != 400 || a.code() != "invalid_request" {
				t.Errorf("a client with limits: %d %s", a.status, a.body)
			}
		}
	}
}

// A large file passes into a container when it is the last part of its form: what stands before it is looked at, and what would
// stand behind it never arrives.
func TestLargeFilesOfContainers(t *testing.T) {
	mock, url := upstream(t)
	r := start(t, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEYS": threeKeys(), "CLIENT_TOKENS": owning})
	made := families()
	box, foreign := r.makeOne(t, made["container"], tokenOfA), r.makeOne(t, made["file"], tokenOfB)
	files := "/v1/containers/" + box + "/files"
	field := func(id string) string {
		return "--line\r\nContent-Disposition: form-data; name=\"file_id\"\r\n\r\n" + id + "\r\n"
	}
	file := "--line\r\nContent-Disposition: form-data; name=\"file\"; filename=\"x.csv\"\r\n\r\n" + strings.Repeat("1,2,3\n", 4<<20) + "\r\n"
	for name, c := range map[string]struct {
		form   string
		status int
		code   string
	}{
		"alone":                    {file, 200, ""},
		"behind another's file":    {field(foreign) + file, 404, "not_found"},
		"before another's file":    {file + field(foreign), 400, "invalid_request"},
		"before any field":         {file + "--line\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\ny\r\n", 400, "invalid_request"},
		"before what is no parts'": {file + "--line--\r\n" + field(foreign), 400, "invalid_request"},
	} {
		before := gjson.Get(r.get(t, files, tokenOfA).body, "data.#").Int()
		req, _ := http.NewRequestWithContext(t.Context(), "POST", r.url+files, strings.NewReader(c.form+"--line--\r\n"))
		req.Header.Set("Content-Type", "multipart/form-data; boundary=line")
		a := r.send(t, req, tokenOfA)
		if a.status != c.status || a.code() != c.code {
			t.Errorf("%s: %d %s %v", name, a.status, a.body, a.err)
		}
		added := int64(0)
		if c.status == 200 {
			added = 1
			if n := gjson.Get(a.body, "bytes").Int(); n != 24<<20 {
				t.Errorf("%s: %d bytes arrived", name, n)
			}
		}
		if after := gjson.Get(r.get(t, files, tokenOfA).body, "data.#").Int(); after-before != added {
			t.Errorf("%s: %d files, then %d", name, before, after)
		}
	}
	for _, sent := range mock.Requests() {
		if strings.HasSuffix(sent.Path, "/files") && sent.Method == "POST" && strings.Contains(sent.Body, foreign) {
			t.Errorf("the upstream was sent %.200s", sent.Body)
		}
	}
}
