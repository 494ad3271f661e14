package app_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"openai-api-proxy/pkg/app"
	"openai-api-proxy/pkg/mockopenai"
	"openai-api-proxy/pkg/redistest"
	"openai-api-proxy/pkg/state/memstate"
)

// Positions, rests and counters go on after a restart.
func TestRestart(t *testing.T) {
	mock, url := upstream(t, mockopenai.WithSettings(mockopenai.Settings{ContentBytes: 40, Requests: 100}))
	env := map[string]string{"OPENAI_BASE_URL": url, "DATA_DIR": t.TempDir(), "OPENAI_API_KEYS": fmt.Sprintf(
		`[{"id":"a","key":%q,"quota":100},{"id":"b","key":%q},{"id":"c","key":%q}]`, keyNumber(1), keyNumber(2), keyNumber(3))}
	first := start(t, env)
	for range 4 { // a, b, c, a
		first.chat(t, plain)
	}
	mock.Fault(mockopenai.Fault{Key: keyNumber(2), Kind: "402"})
	first.chat(t, plain) // b, which has no credit, then c
	before := first.stats(t)
	if err := first.Stop(); err != nil {
		t.Fatal(err)
	}
	mock.Reset()

	second := start(t, env)
	after := second.stats(t)
	if after.Totals.Requests != 5 || before.Totals.Requests != 5 {
		t.Errorf("%d requests counted before, %d after, want 5", before.Totals.Requests, after.Totals.Requests)
	}
	if s := second.keyState(t, "b"); s != "exhausted" {
		t.Errorf("key b is %s after the restart", s)
	}
	second.chat(t, plain)
	if q := mock.Requests(); len(q) != 1 || q[0].Key != keyNumber(3) {
		t.Errorf("the rotation did not go on with c: %+v", q)
	}
	for i, k := range after.Keys {
		if k.ID == "a" && (k.Quota.Used != before.Keys[i].Quota.Used || k.Quota.Used < 2) {
			t.Errorf("key a used %d of its quota, before the restart %d", k.Quota.Used, before.Keys[i].Quota.Used)
		}
	}
}

// A replica that leaves is not ready any more, still answers, and ends the connection with the answer.
func TestLeavingAFleet(t *testing.T) {
	_, url := upstream(t)
	r := start(t, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEY": keyNumber(1), "REDIS_URL": redistest.Start(t).URL(),
		"DRAIN_DELAY": "2s"})
	stopped := make(chan error, 1)
	go func() { stopped <- r.Stop() }()
	for r.get(t, "/readyz", "").status == 200 {
		time.Sleep(10 * time.Millisecond)
	}
	req, _ := http.NewRequestWithContext(t.Context(), "POST", r.url+"/v1/chat/completions", strings.NewReader(plain))
	req.Header.Set("Authorization", "Bearer "+keyNumber(1))
	resp, err := r.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 200 || !resp.Close {
		t.Errorf("%s, connection closed: %v", resp.Status, resp.Close)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

func TestSecondProcessOnTheSameData(t *testing.T) {
	env := map[string]string{"OPENAI_API_KEY": keyNumber(1), "DATA_DIR": t.TempDir()}
	start(t, env)
	env["LISTEN_ADDR"] = "127.0.0.1:0"
	_, err := app.Start(t.Context(), load(t, env), app.Options{Log: slog.New(slog.DiscardHandler)})
	if !errors.Is(err, memstate.ErrInUse) || !strings.Contains(err.Error(), env["DATA_DIR"]) {
		t.Errorf("%v, want one that says that the directory is in use", err)
	}
}

func TestAdminTokenIsMadeOnce(t *testing.T) {
	_, url := upstream(t)
	env := map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEY": keyNumber(1), "DATA_DIR": t.TempDir(), "ADMIN_TOKEN": ""}
	file := filepath.Join(env["DATA_DIR"], "admin-token")
	var tokens [2]string
	for i := range tokens {
		r := start(t, env)
		token, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		tokens[i] = strings.TrimSpace(string(token))
		if a := r.get(t, "/api/stats", tokens[i]); a.status != 200 {
			t.Errorf("%d %s", a.status, a.body)
		}
		if strings.Contains(r.logs.String(), tokens[i]) || !strings.Contains(r.logs.String(), file) {
			t.Error("the log must name the file and not the token")
		}
		if info, _ := os.Stat(file); info.Mode().Perm() != 0o600 {
			t.Errorf("the file is %v", info.Mode())
		}
		if err := r.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	if tokens[0] != tokens[1] {
		t.Error("the token changed")
	}
}

func TestManagementIsClosedWithoutAToken(t *testing.T) {
	r := start(t, map[string]string{"OPENAI_API_KEY": keyNumber(1), "ADMIN_TOKEN": ""})
	if a := r.get(t, "/api/stats", keyNumber(1)); a.status != 403 || a.code() != "admin_disabled" {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func TestOperatorsHaveAPortOfTheirOwn(t *testing.T) {
	_, url := upstream(t)
	r := start(t, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEY": keyNumber(1), "ADMIN_ADDR": "127.0.0.1:0"})
	for _, path := range []string{"/api/stats", "/metrics"} {
		if a := r.get(t, path, adminToken); a.status != 404 {
			t.Errorf("%s on the public port: %d", path, a.status)
		}
	}
	private := *r
	private.url = "http://" + r.AdminAddr()
	if a := private.get(t, "/metrics", ""); a.status != 200 || !strings.Contains(a.body, "oap_") {
		t.Errorf("/metrics on the operators' port: %d", a.status)
	}
	if a := private.get(t, "/api/stats", ""); a.status != 401 {
		t.Errorf("/api/stats without a token: %d", a.status)
	}
	private.stats(t)
	if a := private.get(t, "/v1/models", keyNumber(1)); a.status != 404 {
		t.Errorf("the API on the operators' port: %d", a.status)
	}
}

func TestHealth(t *testing.T) {
	mock, url := upstream(t)
	r := start(t, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEYS": threeKeys()})
	for _, path := range []string{"/livez", "/readyz"} {
		if a := r.get(t, path, ""); a.status != 200 {
			t.Errorf("%s: %d", path, a.status)
		}
	}
	mock.Fault(mockopenai.Fault{Key: keyNumber(1), Kind: "402"})
	for range 3 {
		r.chat(t, plain)
	}
	var h struct {
		Status string
		State  struct{ Kind string }
		Keys   struct{ Total, Usable, Exhausted int }
	}
	json.Unmarshal([]byte(r.get(t, "/health", "").body), &h)
	if h.Status != "ok" || h.State.Kind != "embedded" || h.Keys.Total != 3 || h.Keys.Usable != 2 || h.Keys.Exhausted != 1 {
		t.Errorf("health %+v", h)
	}
}

// Over 10,000 requests each key gets its share.
func TestShares(t *testing.T) {
	mock, url := upstream(t, mockopenai.WithSettings(mockopenai.Settings{ContentBytes: 4}))
	keys := make([]string, 5)
	for i := range keys {
		keys[i] = fmt.Sprintf(`{"id":"k%d","key":%q,"weight":%d}`, i+1, keyNumber(i+1), i+1)
	}
	r := start(t, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEYS": "[" + strings.Join(keys, ",") + "]", "LOG_LEVEL": "warn",
		"CONFIG_FILE": "c.json", "file": `{"strategy":"weighted"}`})
	const calls = 10_005
	crowd(8, calls, func(int) answer { return r.chat(t, plain) })
	stats := mock.Stats()
	for i := range keys {
		want := int64(calls * (i + 1) / 15)
		if got := stats[keyNumber(i+1)].Requests; got != want {
			t.Errorf("key of weight %d got %d of %d requests, want %d", i+1, got, calls, want)
		}
	}
}
