package app_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"openai-api-proxy/pkg/mockopenai"
	"openai-api-proxy/pkg/redistest"
)

const (
	laterAsk    = `{"model":"gpt-4o-mini","input":"x","background":true}`
	laterStream = `{"model":"gpt-4o-mini","input":"x","background":true,"stream":true}`
)

// leaveLater asks for a stream in the background, and leaves it after some lines.
func (r *rig) leaveLater(t *testing.T, lines int) (id string) {
	t.Helper()
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	req, _ := http.NewRequestWithContext(ctx, "POST", r.url+"/v1/responses", strings.NewReader(laterStream))
	req.Header.Set("Authorization", "Bearer "+clientToken)
	req.Header.Set("Content-Type", "application/json")
	resp, err := r.http.Do(req)
	if err != nil || resp.StatusCode != 200 {
		t.Fatal(resp, err)
	}
	defer resp.Body.Close()
	for s := bufio.NewScanner(resp.Body); lines > 0 && s.Scan(); lines-- {
		if data, ok := strings.CutPrefix(s.Text(), "data: "); ok && id == "" {
			id = gjson.Get(data, "response.id").Str
		}
	}
	return id
}

// What is made in the background is counted once, by whoever is first shown its end, and charged as what it used: to the
// client, and to the key, through whichever replica, and whether there is one account or there are several.
func TestBackgroundIsCountedOnce(t *testing.T) {
	for name, c := range map[string]struct{ keys, more string }{
		"three accounts and two clients": {threeKeys(), `,{"id":"other","token":"` + tokenOfB + `"}`},
		"one account and one client":     {`[{"id":"a","key":"` + keyNumber(1) + `","quota":{"tokens":100000000,"period":"total"}}]`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, origin := upstream(t, mockopenai.WithSettings(mockopenai.Settings{Chunks: 1200, ContentBytes: 4800, ChunkDelayMS: .1}))
			server := redistest.Start(t)
			replicas := fleet(t, server, 2, map[string]string{"OPENAI_BASE_URL": origin, "OPENAI_API_KEYS": c.keys, "LOG_LEVEL": "warn",
				"CLIENT_TOKENS": `[{"id":"soft","token":"` + clientToken + `","quota":{"tokens":100000000,"period":"total"}}` + c.more + `]`})
			one, two := replicas[0], replicas[1]
			counted := func(what string, requests, whole int64) {
				t.Helper()
				settled(t, replicas...)
				var s stats
				eventually(t, "all is counted", func() bool { s = one.stats(t); return s.Totals.Requests >= requests })
				if in, out := s.Totals.Tokens.Input, s.Totals.Tokens.Output; s.Totals.Requests != requests || in != 19*whole || out != 1200*whole {
					t.Errorf("%s: %d requests, %d and %d tokens are counted, want %d times 19 and 1200", what, s.Totals.Requests, in, out, whole)
				}
			}
			charged := func(what string, whole int64) {
				t.Helper()
				if used := limitUsed(t, server, "soft", "tokens/total"); used != 1219*whole {
					t.Errorf("%s: %d tokens are charged, want %d times 1219", what, used, whole)
				}
			}
			first := gjson.Get(one.post(t, "/v1/responses", clientToken, laterAsk).body, "id").Str
			counted("queued", 1, 0)
			two.get(t, "/v1/responses/"+first, clientToken)
			counted("in progress", 2, 0)
			if used := limitUsed(t, server, "soft", "tokens/total"); used == 0 || used >= 1219 {
				t.Errorf("meanwhile %d tokens are charged", used)
			}
			crowd(8, 20, func(i int) answer { return replicas[i%2].get(t, "/v1/responses/"+first, clientToken) })
			counted("done, and looked at by many", 22, 1)
			charged("done", 1)

			left := two.leaveLater(t, 30)
			counted("left", 23, 1)
			path := "/v1/responses/" + left
			for i := range 3 {
				if a := replicas[i%2].get(t, path+"?stream=true&starting_after=5", clientToken); a.status != 200 || !strings.Contains(a.body, "response.completed") {
					t.Fatalf("%d %.300s", a.status, a.body)
				}
			}
			two.get(t, path, clientToken)
			counted("resumed", 27, 2)
			charged("resumed", 2)

			a := one.post(t, "/v1/responses", clientToken, laterStream)
			counted("a stream to its end", 28, 3)
			two.get(t, "/v1/responses/"+gjson.Get(a.events()[0], "response.id").Str, clientToken)
			dropped := gjson.Get(two.post(t, "/v1/responses", clientToken, laterAsk).body, "id").Str
			if a := one.post(t, "/v1/responses/"+dropped+"/cancel", clientToken, ""); gjson.Get(a.body, "status").Str != "cancelled" {
				t.Errorf("%d %s", a.status, a.body)
			}
			counted("looked at again, and one that is cancelled", 31, 3)
			for _, m := range one.stats(t).Models {
				if m.ID != "gpt-4o-mini" && m.Requests > 0 {
					t.Errorf("%+v", m)
				}
			}
			if c.more == "" {
				// What was expected of the one that was cancelled stays charged.
				eventually(t, "the key is charged", func() bool {
					used := held(t, server, "k:a", "tokens/total")
					return used > 3*1219 && used <= 3*1219+1100
				})
			}
		})
	}
}

// While the state is away a stream to its end is counted all the same, and not again afterwards.
func TestBackgroundWithoutState(t *testing.T) {
	_, origin := upstream(t, mockopenai.WithSettings(mockopenai.Settings{Chunks: 10, ContentBytes: 40}))
	server := redistest.Start(t)
	r := fleet(t, server, 1, map[string]string{"OPENAI_BASE_URL": origin, "OPENAI_API_KEYS": threeKeys(), "LOG_LEVEL": "error", "hasty": "yes",
		"CLIENT_TOKENS": fmt.Sprintf(`[{"id":"soft","token":%q}]`, clientToken)})[0]
	server.Freeze()
	a := r.post(t, "/v1/responses", clientToken, laterStream)
	if len(a.events()) == 0 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	id := gjson.Get(a.events()[0], "response.id").Str
	server.Thaw()
	eventually(t, "the state is back", func() bool {
		return r.healthy(t) && strings.Contains(r.get(t, "/metrics", adminToken).body, "oap_objects_waiting 0\n")
	})
	for range 3 {
		if a := r.get(t, "/v1/responses/"+id, clientToken); a.status != 200 || gjson.Get(a.body, "status").Str != "completed" {
			t.Errorf("%d %s", a.status, a.body)
		}
	}
	eventually(t, "all is counted", func() bool { return r.stats(t).Totals.Requests == 4 })
	if s := r.stats(t); s.Totals.Tokens.Output != 10 || s.Totals.Tokens.Input != 19 {
		t.Errorf("%+v", s.Totals)
	}
}
