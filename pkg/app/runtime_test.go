package app_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"openai-api-proxy/pkg/mockopenai"
	"openai-api-proxy/pkg/redistest"
)

// sealing is a made-up ENCRYPTION_KEY.
const sealing = "c2stdGVzdC1lbmNyeXB0aW9uLWtleS0wMDAwMDAwMDE="

// manage asks the management API and decodes its answer.
func (r *rig) manage(t testing.TB, method, path, body string, into any) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, r.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	a := r.send(t, req, adminToken)
	if into != nil && a.status < 300 {
		if err := json.Unmarshal([]byte(a.body), into); err != nil {
			t.Fatalf("%s %s: %v: %s", method, path, err, a.body)
		}
	}
	return a
}

func (r *rig) addKey(t testing.TB, id string) {
	t.Helper()
	if a := r.manage(t, "POST", "/api/keys", fmt.Sprintf(`{"id":%q,"key":"sk-test-at-run-time-%s"}`, id, id), nil); a.status != 201 {
		t.Fatalf("%d %s", a.status, a.body)
	}
}

func (r *rig) addClient(t testing.TB, id string) (token string) {
	t.Helper()
	var made struct{ Token string }
	if a := r.manage(t, "POST", "/api/clients", fmt.Sprintf(`{"id":%q}`, id), &made); a.status != 201 || made.Token == "" {
		t.Fatalf("%d %s", a.status, a.body)
	}
	return made.Token
}

func (r *rig) has(t testing.TB, id string) bool {
	t.Helper()
	return r.manage(t, "GET", "/api/keys/"+id, "", nil).status == 200
}

// What an operator changes at one replica is in force on the others at once: the time it takes is printed.
func TestChangesReachTheFleet(t *testing.T) {
	_, url := upstream(t)
	server := redistest.Start(t)
	replicas := fleet(t, server, 3, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEY": keyNumber(1), "ENCRYPTION_KEY": sealing})
	var took []time.Duration
	for i := range 50 {
		id := fmt.Sprintf("k%d", i)
		replicas[i%3].addKey(t, id)
		begin := time.Now()
		for _, r := range replicas {
			for r.state(id) == "" {
				if time.Since(begin) > time.Minute {
					t.Fatalf("%s is not everywhere", id)
				}
				time.Sleep(100 * time.Microsecond)
			}
		}
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	t.Logf("a key added at one replica is known to the others after %s (median), %s (p99 of 50)", took[25].Round(10*time.Microsecond), took[49].Round(10*time.Microsecond))

	token := replicas[0].addClient(t, "team")
	for i, r := range replicas {
		eventually(t, "the client may call", func() bool { return r.post(t, "/v1/chat/completions", token, plain).status == 200 })
		if a := r.post(t, "/v1/chat/completions", keyNumber(1), plain); a.status != 401 {
			t.Errorf("replica %d still takes the key for a token: %d", i, a.status)
		}
	}
	var rotated struct{ Token string }
	replicas[1].manage(t, "POST", "/api/clients/team/rotate", `{"keepOldFor":"1h"}`, &rotated)
	for _, r := range replicas {
		eventually(t, "both tokens count", func() bool {
			return r.post(t, "/v1/chat/completions", token, plain).status == 200 && r.post(t, "/v1/chat/completions", rotated.Token, plain).status == 200
		})
	}
	replicas[2].manage(t, "POST", "/api/clients/team/rotate", `{}`, nil)
	eventually(t, "an hour-long grace is not cut short, the other token ends", func() bool {
		return replicas[0].post(t, "/v1/chat/completions", rotated.Token, plain).status == 401
	})
	replicas[0].manage(t, "DELETE", "/api/clients/team", "", nil)
	eventually(t, "the client is gone", func() bool { return replicas[2].post(t, "/v1/chat/completions", token, plain).status == 401 })
	if a := replicas[1].post(t, "/v1/chat/completions", keyNumber(1), plain); a.status != 401 {
		t.Errorf("the v1 way came back: %d", a.status)
	}

	replicas[0].manage(t, "PATCH", "/api/settings", `{"strategy":"random","failover.maxRetries":0}`, nil)
	eventually(t, "settings are everywhere", func() bool {
		return strings.Contains(replicas[2].manage(t, "GET", "/api/settings", "", nil).body, `"random"`)
	})
	var fleet struct {
		Data []struct {
			ID     string
			Config struct{ Version int64 }
		}
	}
	eventually(t, "every replica says that it has the same", func() bool {
		replicas[1].manage(t, "GET", "/api/replicas", "", &fleet)
		return len(fleet.Data) == 3 && fleet.Data[0].Config == fleet.Data[1].Config && fleet.Data[1].Config == fleet.Data[2].Config
	})
}

// A Redis that forgets everything gets it back; while it is away the proxy goes on with what it knows and says that it
// cannot be changed.
func TestRedisThatForgetsWhatIsConfigured(t *testing.T) {
	_, url := upstream(t)
	server := redistest.Start(t)
	env := map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEY": keyNumber(1), "ENCRYPTION_KEY": sealing}
	replicas := fleet(t, server, 2, env)
	replicas[0].addKey(t, "kept")
	token := replicas[0].addClient(t, "team")
	eventually(t, "the other knows", func() bool { return replicas[1].has(t, "kept") })
	server.Do("FLUSHALL")
	eventually(t, "Redis knows again", func() bool { return len(server.Keys("oap:{cfg}:items")) == 1 })
	late := fleet(t, server, 1, env)[0]
	if !late.has(t, "kept") || late.post(t, "/v1/chat/completions", token, plain).status != 200 {
		t.Error("who comes later does not know what was configured")
	}
	if a := late.post(t, "/v1/chat/completions", keyNumber(1), plain); a.status != 401 {
		t.Errorf("the v1 way came back: %d", a.status)
	}
	server.Kill()
	if a := replicas[0].post(t, "/v1/chat/completions", token, plain); a.status != 200 {
		t.Errorf("without Redis: %d %s", a.status, a.body)
	}
	if a := replicas[0].manage(t, "POST", "/api/keys", `{"key":"sk-test-at-run-time-late"}`, nil); a.status != 503 || a.code() != "state_unavailable" {
		t.Errorf("without Redis: %d %s", a.status, a.body)
	}
	server.Run()
}

// A replica that comes up while Redis is away cannot know whether keys are still tokens, and lets nobody in by one.
func TestNobodyIsLetInBeforeTheFleetWasMet(t *testing.T) {
	_, url := upstream(t)
	server := redistest.Start(t)
	server.Kill()
	r := fleet(t, server, 1, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEY": keyNumber(1)})[0]
	if a := r.chat(t, plain); a.status != 503 || a.header.Get("Retry-After") == "" {
		t.Errorf("%d %s", a.status, a.body)
	}
	server.Run()
	eventually(t, "served once it was met", func() bool { return r.chat(t, plain).status == 200 })
}

// What was configured at run time survives a restart of a single instance, sealed on its disk.
func TestRestartOfOneInstance(t *testing.T) {
	_, url := upstream(t)
	dir := t.TempDir()
	env := map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEY": keyNumber(1), "DATA_DIR": dir}
	r := start(t, env)
	r.addKey(t, "kept")
	token := r.addClient(t, "team")
	r.manage(t, "PATCH", "/api/settings", `{"strategy":"random"}`, nil)
	r.Stop()
	for _, name := range []string{"state.db", "encryption-key"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || strings.Contains(string(text), "at-run-time") || strings.Contains(string(text), token) {
			t.Errorf("%s: %v, or a secret can be read in it", name, err)
		}
		if info, _ := os.Stat(filepath.Join(dir, name)); info.Mode().Perm() != 0o600 {
			t.Errorf("%s can be read by others: %v", name, info.Mode())
		}
	}
	delete(env, "OPENAI_API_KEY") // the key that was added is enough
	r = start(t, env)
	if a := r.post(t, "/v1/chat/completions", token, plain); a.status != 200 {
		t.Errorf("%d %s", a.status, a.body)
	}
	if !r.has(t, "kept") || !strings.Contains(r.manage(t, "GET", "/api/settings", "", nil).body, `"random"`) {
		t.Error("not all is there after the restart")
	}
}

// A key that is deleted, or a client, ends nothing that is under way.
func TestDeletingDrains(t *testing.T) {
	mock, url := upstream(t, mockopenai.WithSettings(mockopenai.Settings{Chunks: 20, ChunkDelayMS: 30}))
	r := start(t, map[string]string{"OPENAI_BASE_URL": url, "ADMIN_TOKEN": adminToken})
	r.addKey(t, "only")
	token := r.addClient(t, "team")
	done := make(chan answer, 1)
	go func() { done <- r.post(t, "/v1/chat/completions", token, streamed) }()
	eventually(t, "the stream runs", func() bool { return mock.Stats()["sk-test-at-run-time-only"].InFlight == 1 })
	r.manage(t, "DELETE", "/api/keys/only", "", nil)
	r.manage(t, "DELETE", "/api/clients/team", "", nil)
	if a := r.post(t, "/v1/chat/completions", token, plain); a.status != 401 {
		t.Errorf("a deleted client is answered %d", a.status)
	}
	if a := <-done; !a.whole() {
		t.Errorf("the stream was cut: %v", a.err)
	}
	if a := r.get(t, "/readyz", ""); a.status != 503 {
		t.Errorf("ready without a key: %d", a.status)
	}
}

// An order to read the configuration anew reaches every replica, and says how each of them is then.
func TestRefreshOfAFleet(t *testing.T) {
	_, url := upstream(t)
	server := redistest.Start(t)
	dir := t.TempDir()
	var replicas []*rig
	var paths []string
	for i := range 3 {
		path := filepath.Join(dir, fmt.Sprintf("config-%d.yaml", i))
		write(t, path, fileFor(url, "one"))
		paths = append(paths, path)
		replicas = append(replicas, startWithFile(t, path, map[string]string{"REDIS_URL": server.URL()}))
	}
	write(t, paths[0], fileFor(url, "two"))
	write(t, paths[1], fileFor(url, "two"))
	write(t, paths[2], "keys: broken\n")
	var result struct {
		Replicas []struct {
			ID    string
			OK    bool
			Error string
		}
	}
	a := replicas[0].manage(t, "POST", "/api/config/refresh", "", &result)
	if a.status != 200 || len(result.Replicas) != 3 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	failed := 0
	for _, r := range result.Replicas {
		if !r.OK {
			failed++
			if !strings.Contains(r.Error, "must be a list") {
				t.Errorf("%+v", r)
			}
		}
	}
	if failed != 1 {
		t.Errorf("%d of 3 failed, want the one with the mistake: %s", failed, a.body)
	}
	for i, name := range []string{"two", "two", "one"} {
		if a := replicas[i].post(t, "/v1/chat/completions", tokenOf(name), plain); a.status != 200 {
			t.Errorf("replica %d does not run %q: %d", i, name, a.status)
		}
	}
}

// Events of the whole fleet are told by any replica.
func TestEventsOfAFleet(t *testing.T) {
	mock, url := upstream(t)
	server := redistest.Start(t)
	replicas := fleet(t, server, 2, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEYS": threeKeys(), "ENCRYPTION_KEY": sealing})
	req, _ := http.NewRequestWithContext(t.Context(), "GET", replicas[1].url+"/api/events", nil)
	req.Header.Set("Authorization", "Bearer "+adminToken)
	resp, err := replicas[1].http.Do(req)
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("%v %v", resp, err)
	}
	defer resp.Body.Close()
	seen := make(chan string, 100)
	go func() {
		for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
			if kind, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
				seen <- kind
			}
		}
	}()
	want := map[string]bool{"key": true, "request": true, "config": true}
	again := time.NewTicker(2500 * time.Millisecond) // the first look says how things stand, whenever that is
	defer again.Stop()
	for turn := 0; len(want) > 0; {
		select {
		case kind := <-seen:
			delete(want, kind)
		case <-again.C:
			if turn++; turn == 40 {
				t.Fatalf("no event of %v", want)
			}
			mock.Fault(mockopenai.Fault{Key: keyNumber(2), Kind: []string{"none", "402"}[turn%2]})
			replicas[0].manage(t, "POST", "/api/keys/b/reset", "", nil)
			for range 3 {
				replicas[0].chat(t, plain)
			}
			replicas[0].addKey(t, fmt.Sprint("more", turn))
		}
	}
}

// A pool beside, as a checkup makes one, takes nothing from those who point at objects of their own.
func TestPoolBesideTakesNothing(t *testing.T) {
	_, url := upstream(t)
	_, other := upstream(t)
	r := start(t, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEY": keyNumber(1), "CLIENT_TOKENS": `[{"id":"a","token":"` + clientToken + `"}]`})
	refused := func(token string) bool {
		t.Helper()
		a := r.post(t, "/v1/responses", token, `{"model":"gpt-4o-mini","input":"x","previous_response_id":"resp_1"}`)
		return a.code() == "not_found"
	}
	if refused(clientToken) {
		t.Fatal("one account and one client")
	}
	for i, path := range []string{"/api/keys", "/api/keys", "/api/clients", "/api/clients"} {
		body := fmt.Sprintf(`{"id":"beside-%d","pool":"beside"}`, i)
		if path == "/api/keys" {
			body = fmt.Sprintf(`{"id":"beside-%d","key":"sk-test-beside-%d-00000000","pool":"beside","baseUrl":%q}`, i, i, other)
		}
		var made struct{ Token string }
		if a := r.manage(t, "POST", path, body, &made); a.status != 201 {
			t.Fatalf("%d %s", a.status, a.body)
		}
		if refused(clientToken) {
			t.Errorf("refused with another pool beside, after %s", body)
		}
		if i == 3 && !refused(made.Token) {
			t.Error("a pool of two accounts and two clients shares no objects")
		}
	}
	if a := r.manage(t, "POST", "/api/keys", `{"id":"same","key":"sk-test-beside-9-00000000","pool":"beside"}`, nil); a.status != 201 || !refused(clientToken) {
		t.Errorf("passed with a key of the same endpoint in the other pool, whose account may be the same: %d", a.status)
	}
	if a := r.manage(t, "DELETE", "/api/keys/same", "", nil); a.status >= 300 || refused(clientToken) {
		t.Errorf("refused although that key is gone: %d", a.status)
	}
	if a := r.manage(t, "POST", "/api/clients", `{"id":"b"}`, nil); a.status != 201 || !refused(clientToken) {
		t.Errorf("passed with another client of the same pool: %d", a.status)
	}
}
