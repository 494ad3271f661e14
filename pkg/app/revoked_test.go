package app_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"openai-api-proxy/pkg/mockopenai"
	"openai-api-proxy/pkg/redistest"
)

// What is taken from a client or from a key ends their sessions on every replica, and no others; what they used until then is
// counted.
func TestSessionsOfWhatIsTakenAway(t *testing.T) {
	mock, url := upstream(t, mockopenai.WithSettings(mockopenai.Settings{Chunks: 20, ContentBytes: 40}))
	replicas := fleet(t, redistest.Start(t), 2, map[string]string{"OPENAI_BASE_URL": url, "ENCRYPTION_KEY": sealing,
		"OPENAI_API_KEYS": fmt.Sprintf(`[{"id":"a","key":%q},{"id":"b","key":%q,"pool":"b"}]`, keyNumber(1), keyNumber(2)),
		"CLIENT_TOKENS":   fmt.Sprintf(`[{"id":"stays","token":%q,"pool":"b"}]`, tokenOf("stays"))})
	first := replicas[0]
	const invalid = "the API key of this session is no longer valid"
	const unused = "the upstream key of this session is no longer used; open another one"
	for _, c := range []struct{ name, method, path, body, reason string }{
		{"disabled", "PATCH", "/api/clients/%s", `{"enabled":false}`, invalid},
		{"deleted", "DELETE", "/api/clients/%s", "", invalid},
		{"rotated", "POST", "/api/clients/%s/rotate", `{}`, invalid},
		{"elsewhere", "PATCH", "/api/clients/%s", `{"ips":["192.0.2.0/24"]}`, invalid},
		{"expires", "PATCH", "/api/clients/%s", `{"expires":"` + time.Now().Add(4*time.Second).UTC().Format(time.RFC3339) + `"}`, invalid},
		{"moved", "PATCH", "/api/clients/%s", `{"group":"other"}`, "the client of this session has another pool or group now"},
		{"restricted", "PATCH", "/api/clients/%s", `{"models":["gpt-4o"]}`, `this API key may not use the model "gpt-realtime"`},
		{"key disabled", "PATCH", "/api/keys/a", `{"enabled":false}`, unused},
	} {
		id := strings.ReplaceAll(c.name, " ", "-")
		token := first.addClient(t, id)
		var sessions []*talk
		for _, r := range replicas {
			eventually(t, "the client may call", func() bool { return r.get(t, "/v1/models", token).status == 200 })
			s := r.realtime(t, token)
			s.say(`{"type":"response.create"}`)
			s.hear("response.done")
			sessions = append(sessions, s)
		}
		ends := len(mock.Ends())
		other := replicas[1].realtime(t, tokenOf("stays"))
		path := c.path
		if strings.Contains(path, "%s") {
			path = fmt.Sprintf(path, id)
		}
		if a := first.manage(t, c.method, path, c.body, nil); a.status/100 != 2 {
			t.Fatalf("%s: %d %s", c.name, a.status, a.body)
		}
		for i, s := range sessions {
			if code, reason := s.ended(); code != 1008 || reason != c.reason {
				t.Errorf("%s: replica %d closed with %d %q", c.name, i, code, reason)
			}
		}
		other.say(`{"type":"response.create"}`)
		other.hear("response.done")
		_ = other.Close(1000, "")
		eventually(t, "the upstream hears all", func() bool { return len(mock.Ends()) == ends+3 })
		if heard := strings.Join(mock.Ends()[ends:], "\n"); strings.Count(heard, "1008 "+c.reason) != 2 {
			t.Errorf("%s: the upstream heard %q", c.name, heard)
		}
		eventually(t, "what was used is counted", func() bool {
			all := gjson.Get(first.get(t, "/api/requests?operation=/v1/realtime&client="+id, adminToken).body, "data").Array()
			return len(all) == 2 && all[0].Get("tokens.output").Int() == 20 && all[0].Get("outcome").Str == "succeeded" && all[0].Get("status").Int() == 101
		})
	}
	if log := first.logs.String(); !strings.Contains(log, `"msg":"a session is ended"`) || !strings.Contains(log, `"close":1008`) {
		t.Error("the log does not say why sessions ended")
	}
}

// The v1 way is a credential that is taken away, too; what changes otherwise ends nothing.
func TestSessionsThatGoOn(t *testing.T) {
	_, url := upstream(t, mockopenai.WithSettings(mockopenai.Settings{Chunks: 3, ContentBytes: 40}))
	r := start(t, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEY": keyNumber(1)})
	s := r.realtime(t, keyNumber(1))
	r.addKey(t, "another")
	for _, change := range []string{`{"weight":7}`, `{"note":"mine"}`, `{"rpm":500}`} {
		if a := r.manage(t, "PATCH", "/api/keys/another", change, nil); a.status != 200 {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	r.manage(t, "PATCH", "/api/settings", `{"strategy":"random"}`, nil)
	s.say(`{"type":"response.create"}`)
	s.hear("response.done")
	token := r.addClient(t, "first")
	if code, _ := s.ended(); code != 1008 {
		t.Errorf("with the first client keys are no tokens any more, but: %d", code)
	}
	own := r.realtime(t, token)
	for _, change := range []string{`{"rpm":500}`, `{"models":["gpt-*"]}`, `{"ips":["127.0.0.0/8"]}`} {
		if a := r.manage(t, "PATCH", "/api/clients/first", change, nil); a.status != 200 {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	r.manage(t, "POST", "/api/clients/first/rotate", `{"keepOldFor":"1h"}`, nil)
	own.say(`{"type":"response.create"}`)
	own.hear("response.done")
}
