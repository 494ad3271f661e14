package app_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"openai-api-proxy/pkg/app"
	"openai-api-proxy/pkg/config"
	"openai-api-proxy/pkg/mockopenai"
)

// startWithFile runs a proxy whose configuration is read from a real file, anew when asked to.
func startWithFile(t testing.TB, path string, env map[string]string) *rig {
	t.Helper()
	all := map[string]string{"LISTEN_ADDR": "127.0.0.1:0", "DATA_DIR": "", "ADMIN_TOKEN": adminToken, "DRAIN_TIMEOUT": "2s", "DRAIN_DELAY": "0s", "CONFIG_FILE": path}
	for k, v := range env {
		all[k] = v
	}
	read := func() (*config.Config, error) {
		return config.Load(config.Source{ReadFile: os.ReadFile, Dir: filepath.Dir(path),
			Env: func(name string) (string, bool) { v, ok := all[name]; return v, ok }})
	}
	cfg, err := read()
	if err != nil {
		t.Fatal(err)
	}
	logs := new(logBuffer)
	a, err := app.Start(t.Context(), cfg, app.Options{Version: "test", Load: read,
		Log: slog.New(slog.NewJSONHandler(logs, &slog.HandlerOptions{Level: slog.LevelInfo}))})
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 100}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		if err := a.Stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return &rig{App: a, url: "http://" + a.Addr(), logs: logs, http: &http.Client{Transport: transport}}
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// replace writes a file so that nobody ever sees half of it.
func replace(t testing.TB, path, text string) {
	t.Helper()
	write(t, path+".next", text)
	if err := os.Rename(path+".next", path); err != nil {
		t.Fatal(err)
	}
}

func tokenOf(name string) string { return "sk-test-token-of-" + name + "-000000001" }

// fileFor has one client and one key of the same name.
func fileFor(url, name string) string {
	return fmt.Sprintf("keys: [{id: %s, key: sk-test-key-of-%s-0001, baseUrl: %q}]\nclients: [{id: %s, token: %s}]\n",
		name, name, url, name, tokenOf(name))
}

func (r *rig) health(t testing.TB) (h struct {
	Config struct{ Version, Error string }
}) {
	t.Helper()
	if err := json.Unmarshal([]byte(r.get(t, "/health", "").body), &h); err != nil {
		t.Fatal(err)
	}
	return h
}

// A file that changes is read anew, however it is changed; one with mistakes changes nothing and is told of.
func TestFileThatChanges(t *testing.T) {
	_, url := upstream(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "config.yaml")
	write(t, path, fileFor(url, "one"))
	r := startWithFile(t, path, nil)
	accepted := func(name string) bool { return r.post(t, "/v1/chat/completions", tokenOf(name), plain).status == 200 }
	if !accepted("one") {
		t.Fatal("the first file is not in force")
	}
	write(t, path, fileFor(url, "two"))
	eventually(t, "written in place", func() bool { return accepted("two") && !accepted("one") })

	before := r.health(t).Config.Version
	write(t, path, "keys: [{id: x, key: sk-test-key-of-x-0001, weight: 0}]\n")
	eventually(t, "a mistake is told", func() bool {
		return strings.Contains(r.health(t).Config.Error, "keys[0].weight: must be between 1 and 1000")
	})
	if !accepted("two") || r.health(t).Config.Version != before {
		t.Error("a file with mistakes changed something")
	}
	if a := r.get(t, "/metrics", adminToken); !strings.Contains(a.body, "\noap_config_error 1\n") {
		t.Error("no metric tells of the mistake")
	}
	if !strings.Contains(r.logs.String(), "the configuration has mistakes") {
		t.Error("no log line tells of the mistake")
	}

	renamed := filepath.Join(dir, "next")
	write(t, renamed, fileFor(url, "three"))
	if err := os.Rename(renamed, path); err != nil {
		t.Fatal(err)
	}
	eventually(t, "renamed into place", func() bool { return accepted("three") && r.health(t).Config.Error == "" })
}

// The way in which Kubernetes changes a ConfigMap: the folder behind a symbolic link is another one.
func TestConfigMapThatChanges(t *testing.T) {
	_, url := upstream(t)
	dir := t.TempDir()
	link := func(name string) {
		t.Helper()
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name, "config.yaml"), fileFor(url, name))
		next := filepath.Join(dir, "..data_tmp")
		if err := os.Symlink(name, next); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	link("one")
	path := filepath.Join(dir, "config.yaml")
	if err := os.Symlink(filepath.Join("..data", "config.yaml"), path); err != nil {
		t.Fatal(err)
	}
	r := startWithFile(t, path, nil)
	link("two")
	eventually(t, "the link leads elsewhere", func() bool {
		return r.post(t, "/v1/chat/completions", tokenOf("two"), plain).status == 200
	})
}

// What is known of keys, and positions, survive; what a key was found guilty of is not forgotten by touching the file.
func TestReloadKeepsWhatIsKnown(t *testing.T) {
	mock, url := upstream(t)
	path := filepath.Join(t.TempDir(), "config.yaml")
	file := "strategy: %s\nkeys: [{id: a, key: sk-test-reload-a-00001}, {id: b, key: sk-test-reload-b-00001}, {id: c, key: sk-test-reload-c-00001, quota: 100}]\n"
	write(t, path, fmt.Sprintf(file, "roundrobin"))
	r := startWithFile(t, path, map[string]string{"OPENAI_BASE_URL": url})
	mock.Fault(mockopenai.Fault{Key: "sk-test-reload-b-00001", Kind: "402"})
	for range 30 {
		if a := r.post(t, "/v1/chat/completions", "sk-test-reload-a-00001", plain); a.status != 200 {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	before := r.stats(t)
	write(t, path, fmt.Sprintf(file, "weighted"))
	if err := r.Reload("test"); err != nil {
		t.Fatal(err)
	}
	after := r.stats(t)
	for i, k := range after.Keys {
		if b := before.Keys[i]; k.State != b.State || k.Requests != b.Requests || k.Quota.Used != b.Quota.Used {
			t.Errorf("key %s was %+v, is %+v", k.ID, b, k)
		}
	}
	if got := r.keyState(t, "b"); got != "exhausted" {
		t.Errorf("b is %s", got)
	}
}

// Two configurations take turns as fast as they can be read, under load. A client of one is never served by a key of the
// other, and one that is in both is never refused.
func TestReloadsAreNeverMixed(t *testing.T) {
	_, url := upstream(t)
	path := filepath.Join(t.TempDir(), "config.yaml")
	both := fmt.Sprintf("clients: [{id: both, token: %s}, {id: %%[1]s, token: sk-test-token-of-%%[1]s-000000001}]\n"+
		"keys: [{id: %%[1]s-1, key: sk-test-key-of-%%[1]s-0001, baseUrl: %q}, {id: %%[1]s-2, key: sk-test-key-of-%%[1]s-0002, baseUrl: %q}]\n",
		tokenOf("both"), url, url)
	write(t, path, fmt.Sprintf(both, "one"))
	r := startWithFile(t, path, nil)
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	var wg sync.WaitGroup
	var served, refused atomic.Int64
	for _, name := range []string{"one", "two", "both", "both"} {
		wg.Go(func() {
			for ctx.Err() == nil {
				switch a := r.post(t, "/v1/chat/completions", tokenOf(name), plain); {
				case a.status == 200:
					served.Add(1)
				case a.status == 401 && name != "both", a.status == 429 && name != "both": // strangers are limited
					refused.Add(1)
				default:
					t.Errorf("%s was answered %d %s", name, a.status, a.body)
				}
			}
		})
	}
	reloads, begin := 0, time.Now()
	for ctx.Err() == nil && (time.Since(begin) < 4*time.Second || served.Load() < 100 || refused.Load() == 0) {
		replace(t, path, fmt.Sprintf(both, []string{"two", "one"}[reloads%2]))
		if err := r.Reload("test"); err != nil {
			t.Error(err)
		}
		reloads++
		time.Sleep(5 * time.Millisecond)
	}
	stop()
	wg.Wait()
	checkPairs(t, r)
	if served.Load() < 100 || refused.Load() == 0 {
		t.Errorf("%d served, %d refused: the test proves nothing", served.Load(), refused.Load())
	}
	t.Logf("%d reloads in %v under %d requests", reloads, time.Since(begin).Round(time.Second), served.Load()+refused.Load())
}

// checkPairs looks into the access log for a client of one configuration that was served by a key of the other.
func checkPairs(t *testing.T, r *rig) {
	t.Helper()
	seen := 0
	for line := range strings.Lines(r.logs.String()) {
		var rec struct{ Msg, Client, Key string }
		if json.Unmarshal([]byte(line), &rec) != nil || rec.Msg != "request" || rec.Key == "" || rec.Client == "both" {
			continue
		}
		if seen++; !strings.HasPrefix(rec.Key, rec.Client+"-") {
			t.Errorf("the client %s was served by the key %s", rec.Client, rec.Key)
		}
	}
	if seen == 0 {
		t.Error("no request was seen")
	}
}

// Two thousand files that somebody's cat walked over, on a slow machine those of three quarters of a minute, one after the
// other: each is taken wholly or not at all, and callers notice nothing.
func TestMutatedFiles(t *testing.T) {
	_, url := upstream(t)
	path := filepath.Join(t.TempDir(), "config.yaml")
	good, err := os.ReadFile("../config/testdata/good_full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	// Without the address of another upstream: a changed one could be anybody's.
	good = regexp.MustCompile(`(?m)^ *baseUrl:.*\n`).ReplaceAll(good, nil)
	write(t, path, "")
	r := startWithFile(t, path, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEYS": threeKeys(),
		"CLIENT_TOKENS": fmt.Sprintf(`[{"id":"env","token":%q}]`, tokenOf("env"))})
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var served atomic.Int64
	for range 2 {
		wg.Go(func() {
			for ctx.Err() == nil {
				// A model that no key of the file serves: what those keys do is not the question.
				a := r.post(t, "/v1/embeddings", tokenOf("env"), `{"model":"text-embedding-3-small","input":"x"}`)
				if a.status != 200 {
					t.Errorf("%d %s", a.status, a.body)
					return
				}
				served.Add(1)
			}
		})
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	begin, files, taken, seen := time.Now(), 0, 0, map[string]bool{}
	for ; files < 2000 && (files < 300 || time.Since(begin) < 45*time.Second); files++ {
		before := r.health(t).Config.Version
		text := string(mutated(random, good))
		for seen[text] { // the watch must not find a file that it has seen before
			text = string(mutated(random, good))
		}
		seen[text] = true
		replace(t, path, text)
		err := r.Reload("test")
		after := r.health(t).Config
		if err == nil {
			taken++
		}
		if err != nil && after.Version != before || (err != nil) != (after.Error != "") {
			t.Fatalf("%v: version %s, then %+v", err, before, after)
		}
	}
	stop()
	wg.Wait()
	if taken == 0 || taken == files || served.Load() == 0 {
		t.Errorf("%d of %d taken, %d served: the test proves nothing", taken, files, served.Load())
	}
	t.Logf("%d of %d files taken, under %d requests", taken, files, served.Load())
}

// mutated changes a few places of a text: bytes, lines lost, lines doubled, the end cut.
func mutated(random *rand.Rand, text []byte) []byte {
	lines := strings.SplitAfter(string(text), "\n")
	for range 1 + random.IntN(3) {
		i := random.IntN(len(lines))
		switch random.IntN(5) {
		case 0:
			lines[i] = ""
		case 1:
			lines[i] += lines[i]
		case 2:
			j := random.IntN(len(lines))
			lines[i], lines[j] = lines[j], lines[i]
		case 3:
			lines = append(lines[:i:i], lines[i][:len(lines[i])/2])
		default:
			if b := []byte(lines[i]); len(b) > 0 {
				b[random.IntN(len(b))] = byte(random.IntN(256))
				lines[i] = string(b)
			}
		}
	}
	return []byte(strings.Join(lines, ""))
}
