package app_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"openai-api-proxy/pkg/mockopenai"
)

// Canaries: no secret, nor twelve characters of one, is found in any log, answer or metric, whatever goes wrong.
func TestSecretsAreNowhere(t *testing.T) {
	canary := func(s string) string { return "sk-test-" + s + strings.Repeat(s[:1]+"7q", 8) }
	secrets := map[string]string{"key 1": canary("kA"), "key 2": canary("kB"), "key 3": canary("kC"), "token": canary("tD"), "admin": canary("aE"),
		"metrics": canary("mF"), "added key": canary("nG"), "imported key": canary("oH"), "added token": canary("pI"), "webhook": canary("wK")}
	mock, url := upstream(t)
	r := start(t, map[string]string{"OPENAI_BASE_URL": url, "LOG_LEVEL": "debug", "ADMIN_TOKEN": secrets["admin"], "METRICS_TOKEN": secrets["metrics"], "REQUEST_LOG_BODIES": "4 KiB",
		"ALERT_WEBHOOK_URL": "http://user:" + secrets["webhook"] + "@127.0.0.1:1/hooks/" + secrets["webhook"] + "?token=" + secrets["webhook"],
		"OPENAI_API_KEYS":   fmt.Sprintf(`[{"id":"a","key":%q},{"id":"b","key":%q},{"id":"c","key":%q}]`, secrets["key 1"], secrets["key 2"], secrets["key 3"]),
		"CLIENT_TOKENS":     fmt.Sprintf(`[{"id":"team","token":%q,"rpm":100000,"models":["*"]}]`, secrets["token"])})
	var seen strings.Builder
	note := func(a answer) {
		fmt.Fprintln(&seen, a.status, a.header, a.body, a.err)
	}
	manage := func(method, path, body string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, r.url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		if a := r.send(t, req, secrets["admin"]); path != "/api/clients" || a.status != 201 { // the one answer that has the token
			note(a)
		}
	}
	manage("POST", "/api/keys", fmt.Sprintf(`{"id":"added","key":%q}`, secrets["added key"]))
	manage("POST", "/api/keys", fmt.Sprintf(`{"id":%q,"key":%q}`, secrets["added key"], secrets["added key"]))
	manage("POST", "/api/keys", fmt.Sprintf(`{"id":"x","wieght":%q}`, secrets["added key"]))
	manage("POST", "/api/keys/import", fmt.Sprintf(`[%q, {"key":%q,"weight":%q}, %q]`, secrets["imported key"], secrets["imported key"], secrets["imported key"], secrets["imported key"]))
	manage("PATCH", "/api/keys/added", fmt.Sprintf(`{"note":"x","weight":%q}`, secrets["added key"]))
	manage("PATCH", "/api/keys/"+secrets["added key"], `{}`)
	manage("POST", "/api/clients", fmt.Sprintf(`{"id":"added","token":%q}`, secrets["added token"]))
	manage("POST", "/api/clients", fmt.Sprintf(`{"id":"again","token":%q}`, secrets["added token"]))
	manage("PATCH", "/api/clients/added", fmt.Sprintf(`{"token":%q}`, secrets["added token"]))
	manage("PATCH", "/api/settings", fmt.Sprintf(`{"strategy":%q}`, secrets["key 1"]))
	manage("POST", "/api/keys/added/test", "")
	manage("POST", "/api/config/refresh", "")
	manage("POST", "/api/alerts/test", "")
	for _, kind := range mockopenai.Kinds() {
		if kind == "hang" || kind == "silence" {
			continue // they only wait
		}
		mock.Fault(mockopenai.Fault{Key: "*", Kind: kind, Count: 6, AfterChunks: 1})
		note(r.post(t, "/v1/chat/completions", secrets["token"], plain))
		note(r.post(t, "/v1/chat/completions", secrets["token"], streamed))
		mock.Fault(mockopenai.Fault{Key: "*", Kind: "none"})
	}
	for _, name := range []string{"token", "key 1", "added key", "admin"} { // what callers paste into a prompt is theirs to paste, and not to be kept
		r.post(t, "/v1/chat/completions", secrets["token"], fmt.Sprintf(`{"model":"m","messages":[{"role":"user","content":%q}]}`, secrets[name]))
	}
	req, _ := http.NewRequestWithContext(t.Context(), "POST", r.url+"/v1/chat/completions", strings.NewReader(plain))
	req.Header.Set("X-Proxy-Debug", secrets["admin"])
	note(r.send(t, req, secrets["token"]))
	note(r.post(t, "/v1/chat/completions", secrets["token"]+"x", plain))
	note(r.get(t, "/v1/"+secrets["token"], secrets["token"]))
	note(r.get(t, "/v1/models/%2e%2e?key="+secrets["token"], secrets["token"]))
	req, _ = http.NewRequestWithContext(t.Context(), "GET", r.url+"/v1/models", nil)
	req.Header["Authorization"] = []string{"Bearer " + secrets["token"], "Bearer " + secrets["key 1"]}
	note(r.send(t, req, ""))
	eventually(t, "requests are remembered with their bodies", func() bool {
		return strings.Contains(r.get(t, "/api/requests?limit=5", secrets["admin"]).body, `"bodies"`)
	})
	for _, path := range []string{"/health", "/metrics", "/readyz", "/api/stats", "/api/keys", "/api/keys/added", "/api/keys/export", "/api/clients",
		"/api/clients/team", "/api/clients/added", "/api/usage", "/api/requests?limit=1000", "/api/settings", "/api/replicas", "/api/audit", "/api/alerts"} {
		for _, token := range []string{"", secrets["token"], secrets["admin"], secrets["metrics"]} {
			note(r.get(t, path, token))
		}
	}
	for where, text := range map[string]string{"an answer": seen.String(), "the log": r.logs.String()} {
		for name, secret := range secrets {
			for i := 0; i+12 <= len(secret); i++ {
				if window := secret[i : i+12]; strings.Contains(text, window) {
					at := strings.Index(text, window)
					t.Errorf("%s shows %q of the %s: ...%s...", where, window, name, text[max(0, at-80):min(len(text), at+80)])
					break
				}
			}
		}
	}
}
