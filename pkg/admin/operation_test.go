package admin

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ulule/limiter/v3"
	"github.com/ulule/limiter/v3/drivers/store/memory"

	"openai-api-proxy/pkg/catalog"
	"openai-api-proxy/pkg/state"
)

func TestSettings(t *testing.T) {
	r := newRig(t)
	find := func(a reply, name string) map[string]any {
		for _, one := range a.doc["settings"].([]any) {
			if s := one.(map[string]any); s["name"] == name {
				return s
			}
		}
		t.Fatalf("no setting %s", name)
		return nil
	}
	a := r.do("GET", "/api/settings", "").want(t, 200)
	for _, one := range a.doc["settings"].([]any) {
		if s := one.(map[string]any); s["description"] == "" {
			t.Errorf("%s has no description", s["name"])
		}
	}
	if s := find(a, "strategy"); s["value"] != "weighted" || s["source"] != "file" || s["default"] != "roundrobin" {
		t.Errorf("strategy %v", s)
	}
	a = r.do("PATCH", "/api/settings", `{"failover.maxRetries":2,"strategy":"random","operations.deny":["POST /v1/embeddings"]}`).want(t, 200)
	if s := find(a, "failover.maxRetries"); s["value"] != 2.0 || s["source"] != "api" || s["configured"] != 3.0 {
		t.Errorf("maxRetries %v", s)
	}
	a = r.do("PATCH", "/api/settings", `{"failover.maxRetries":null,"strategy":null}`).want(t, 200)
	if s := find(a, "strategy"); s["value"] != "weighted" || s["source"] != "file" {
		t.Errorf("strategy %v", s)
	}
	for body, hint := range map[string]string{`{"failover.maxRetrys":2}`: "did you mean", `{"failover":{"maxRetries":2}}`: "named like",
		`{"failover.maxRetries":"two"}`: "number", `{"failover.maxRest":1}`: "must not be below", `[]`: "object", `{"sk-test-secret-000":1}`: "name"} {
		if a := r.do("PATCH", "/api/settings", body).want(t, 400, "invalid_request"); !strings.Contains(a.message(), hint) {
			t.Errorf("%s: %s", body, a.message())
		}
	}
	if note := r.do("GET", "/api/audit?limit=1", "").data()[0]; note["action"] != "settings.update" || note["detail"] != "failover.maxRetries strategy" {
		t.Errorf("noted %v", note)
	}
}

func TestReplicasAndRefresh(t *testing.T) {
	r := newRig(t)
	other := state.Replica{ID: "r2", Config: state.ReplicaConfig{Fingerprint: "fedcba9876", Refreshed: 6}}
	r.members = append(r.members, other)
	r.members[0].Config.Refreshed = 7
	r.refresh = func() (int64, []state.Replica, error) { return 7, r.members, nil }
	if a := r.do("GET", "/api/replicas", "").want(t, 200); a.doc["self"] != "r1" || len(a.data()) != 2 {
		t.Errorf("replicas %s", a.body)
	}
	a := r.do("POST", "/api/config/refresh", "").want(t, 200)
	told := a.doc["replicas"].([]any)
	if told[0].(map[string]any)["ok"] != true || told[1].(map[string]any)["ok"] != false || told[1].(map[string]any)["error"] == "" {
		t.Errorf("refreshed %s", a.body)
	}
	if note := r.do("GET", "/api/audit?limit=1", "").data()[0]; note["action"] != "config.refresh" || note["detail"] != "in force on 1 of 2 replicas" {
		t.Errorf("noted %v", note)
	}
	since := time.Now()
	r.members[0].Config.Error, r.members[0].Config.ErrorSince = "config.yaml:3:5 keys[0].weight: must be between 1 and 1000", &since
	if a := r.do("POST", "/api/config/refresh", "").want(t, 409, "conflict"); !strings.Contains(a.message(), "config.yaml:3:5") {
		t.Errorf("told %s", a.body)
	}
	r.refresh = func() (int64, []state.Replica, error) {
		return 0, nil, fmt.Errorf("redis: %w", state.ErrUnavailable)
	}
	r.do("POST", "/api/config/refresh", "").want(t, 503, "state_unavailable")
}

func TestAudit(t *testing.T) {
	r := newRig(t)
	for i := range 5 {
		r.Catalog.Note(t.Context(), catalog.Actor{Name: "admin", Address: "127.0.0.1"}, "test", fmt.Sprint(i), "")
	}
	var seen []string
	query := "?limit=2"
	for {
		a := r.do("GET", "/api/audit"+query, "").want(t, 200)
		for _, n := range a.data() {
			seen = append(seen, n["subject"].(string))
		}
		next, more := a.doc["next"].(string)
		if !more {
			break
		}
		query = "?limit=2&after=" + next
	}
	if got := strings.Join(seen, ""); got != "43210" {
		t.Errorf("noted %s", got)
	}
	r.do("GET", "/api/audit?after=nowhere", "").want(t, 400, "invalid_request")
}

// A state that is away costs what needs it, and nothing else.
func TestStateAway(t *testing.T) {
	r := newRig(t)
	made := r.do("POST", "/api/keys", text(map[string]any{"key": secretNumber(1), "id": "mine"})).want(t, 201)
	r.do("GET", "/api/keys", "").want(t, 200)
	r.store.Off(true)
	defer r.store.Off(false)
	r.do("POST", "/api/keys", text(map[string]any{"key": secretNumber(2)})).want(t, 503, "state_unavailable")
	r.do("PATCH", "/api/keys/mine", `{"weight":3}`).want(t, 503, "state_unavailable")
	r.do("DELETE", "/api/keys/mine", "", "If-Match", made.header.Get("ETag")).want(t, 503, "state_unavailable")
	r.do("GET", "/api/audit", "").want(t, 503, "state_unavailable")
	for _, path := range []string{"/api/stats", "/api/usage", "/api/requests", "/api/requests/x"} {
		r.do("GET", path, "").want(t, 503, "state_unavailable")
	}
	r.do("GET", "/api/keys?q=mine", "").want(t, 200)
	r.do("GET", "/api/settings", "").want(t, 200)
	r.do("POST", "/api/keys/mine/test", "").want(t, 200)
}

// brokenLimiter cannot tell.
type brokenLimiter struct{ limiter.Store }

func (brokenLimiter) Get(context.Context, string, limiter.Rate) (limiter.Context, error) {
	return limiter.Context{}, errors.New("away")
}

func TestLimit(t *testing.T) {
	store := memory.NewStoreWithOptions(limiter.StoreOptions{Prefix: "x", CleanUpInterval: time.Minute})
	r := newRig(t, settings{limiter: store, rate: limiter.Rate{Period: time.Minute, Limit: 3}})
	for range 3 {
		r.do("GET", "/api/settings", "").want(t, 200)
	}
	if a := r.do("GET", "/api/settings", "").want(t, 429, "rate_limit_exceeded"); a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	if a, _ := r.raw("GET", "/api/settings", "", "Authorization", "Bearer wrong"); a.status != 401 {
		t.Errorf("a stranger got %d", a.status)
	}
	r = newRig(t, settings{limiter: brokenLimiter{}, rate: limiter.Rate{Period: time.Minute, Limit: 1}})
	for range 3 {
		r.do("GET", "/api/settings", "").want(t, 200)
	}
	a, _ := r.raw("GET", "/metrics", "")
	if !strings.Contains(a.body, "oap_admin_limiter_errors_total 3") {
		t.Error("not counted")
	}
}
