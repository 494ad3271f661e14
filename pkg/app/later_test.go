package app_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/tidwall/gjson"

	"openai-api-proxy/pkg/mockopenai"
	"openai-api-proxy/pkg/openai"
	"openai-api-proxy/pkg/price"
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

// estimated is what the input of a stream that was left may be counted too much.
const estimated = 10

// laterRig are two replicas in front of a mock whose answers have 19 and 1200 tokens, more than is expected of any.
type laterRig struct {
	one, two *rig
	server   *redistest.Server
}

func newLaterRig(t *testing.T, keys, clients string) laterRig {
	t.Helper()
	_, origin := upstream(t, mockopenai.WithSettings(mockopenai.Settings{Chunks: 1200, ContentBytes: 4800, ChunkDelayMS: .1}))
	server := redistest.Start(t)
	replicas := fleet(t, server, 2, map[string]string{"OPENAI_BASE_URL": origin, "OPENAI_API_KEYS": keys, "LOG_LEVEL": "warn",
		"CLIENT_TOKENS": `[{"id":"soft","token":"` + clientToken + `","quota":[{"tokens":100000000,"period":"total"},{"usd":100,"period":"total"}]}` + clients + `]`})
	return laterRig{replicas[0], replicas[1], server}
}

// counted checks how many requests are counted, and the tokens of how many responses.
func (l laterRig) counted(t *testing.T, what string, requests, whole int64) {
	t.Helper()
	settled(t, l.one, l.two)
	var s stats
	eventually(t, "all is counted", func() bool { s = l.one.stats(t); return s.Totals.Requests >= requests })
	in, out := s.Totals.Tokens.Input, s.Totals.Tokens.Output
	if s.Totals.Requests != requests || in < 19*whole || in > 19*whole+estimated || out != 1200*whole {
		t.Errorf("%s: %d requests, %d and %d tokens are counted, want %d times 19 and 1200", what, s.Totals.Requests, in, out, whole)
	}
}

// charged checks what the client is charged, in tokens and in money.
func (l laterRig) charged(t *testing.T, what string, whole int64) {
	t.Helper()
	cost, _ := price.NewTable(nil).Cost("gpt-4o-mini", openai.Usage{Input: 19, Output: 1200, Basis: openai.Exact})
	for limit, want := range map[string]int64{"tokens/total": 1219 * whole, "usd/total": cost * whole} {
		if used := limitUsed(t, l.server, "soft", limit); used < want || used > want+estimated*1000 || used > want+estimated && limit == "tokens/total" {
			t.Errorf("%s: %d of %s are charged, want %d", what, used, limit, want)
		}
	}
}

// What is made in the background is counted once, by whoever is first shown its end, and charged as what it used: to the
// client, and to the key, through whichever replica, and whether there is one account or there are several.
func TestBackgroundIsCountedOnce(t *testing.T) {
	for name, c := range map[string]struct{ keys, more string }{
		"three accounts and two clients": {threeKeys(), `,{"id":"other","token":"` + tokenOfB + `"}`},
		"one account and one client":     {`[{"id":"a","key":"` + keyNumber(1) + `","quota":{"tokens":100000000,"period":"total"}}]`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLaterRig(t, c.keys, c.more)
			l.looked(t)
			l.resumed(t)
			l.whole(t)
			if c.more != "" {
				return
			}
			// What was expected of the one that was cancelled stays charged, and a replica may hold some units more.
			eventually(t, "the key is charged", func() bool {
				used := held(t, l.server, "k:a", "tokens/total")
				return used > 3*1219 && used <= 3*1219+2*1100
			})
		})
	}
}

// looked is one at which many look when it is done.
func (l laterRig) looked(t *testing.T) {
	id := gjson.Get(l.one.post(t, "/v1/responses", clientToken, laterAsk).body, "id").Str
	l.counted(t, "queued", 1, 0)
	l.two.get(t, "/v1/responses/"+id, clientToken)
	l.counted(t, "in progress", 2, 0)
	if used := limitUsed(t, l.server, "soft", "tokens/total"); used == 0 || used >= 1219 {
		t.Errorf("meanwhile %d tokens are charged", used)
	}
	crowd(8, 20, func(i int) answer { return []*rig{l.one, l.two}[i%2].get(t, "/v1/responses/"+id, clientToken) })
	l.counted(t, "done, and looked at by many", 22, 1)
	l.charged(t, "done", 1)
}

// resumed is a stream that is left and gone on with, thrice.
func (l laterRig) resumed(t *testing.T) {
	path := "/v1/responses/" + l.two.leaveLater(t, 60)
	eventually(t, "what passed is counted", func() bool { s := l.one.stats(t); return s.Totals.Requests == 23 && s.Totals.Tokens.Output > 1200 })
	if s := l.one.stats(t); s.Totals.Tokens.Output > 1200+600 {
		t.Errorf("of a stream that was left are counted %+v", s.Totals.Tokens)
	}
	for i := range 3 {
		if a := []*rig{l.one, l.two}[i%2].get(t, path+"?stream=true&starting_after=5", clientToken); a.status != 200 || !strings.Contains(a.body, "response.completed") {
			t.Fatalf("%d %.300s", a.status, a.body)
		}
	}
	l.two.get(t, path, clientToken)
	l.counted(t, "resumed", 27, 2)
	l.charged(t, "resumed", 2)
}

// whole is a stream to its end, and one that is cancelled.
func (l laterRig) whole(t *testing.T) {
	a := l.one.post(t, "/v1/responses", clientToken, laterStream)
	l.counted(t, "a stream to its end", 28, 3)
	l.two.get(t, "/v1/responses/"+gjson.Get(a.events()[0], "response.id").Str, clientToken)
	l.charged(t, "a stream to its end", 3)
	dropped := gjson.Get(l.two.post(t, "/v1/responses", clientToken, laterAsk).body, "id").Str
	if a := l.one.post(t, "/v1/responses/"+dropped+"/cancel", clientToken, ""); gjson.Get(a.body, "status").Str != "cancelled" {
		t.Errorf("%d %s", a.status, a.body)
	}
	l.counted(t, "looked at again, and one that is cancelled", 31, 3)
	for _, m := range l.one.stats(t).Models {
		if m.ID != "gpt-4o-mini" && m.Requests > 0 {
			t.Errorf("%+v", m)
		}
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

// What a response shows of its usage before its end is not all of it, and what the caller sent is none.
func TestBackgroundIsCountedAtItsEnd(t *testing.T) {
	const tools = `"tools":[{"parameters":{"properties":{"usage":{"input_tokens":0,"output_tokens":0}}}}]`
	shown := []string{
		`"status":"queued","usage":null`,
		`"status":"in_progress","instructions":"` + strings.Repeat("x", 80<<10) + `",` + tools + `,"usage":null`,
		`"status":"in_progress","usage":{"input_tokens":19,"output_tokens":2}`,
		`"status":"completed",` + tools + `,"usage":{"input_tokens":19,"output_tokens":1200}`,
	}
	var looks atomic.Int64
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if !strings.HasPrefix(req.URL.Path, "/v1/responses") {
			fmt.Fprint(w, `{"object":"list","data":[{"id":"gpt-4o-mini"}]}`)
			return
		}
		fmt.Fprint(w, `{"id":"resp_1","object":"response",`+shown[looks.Add(1)-1]+`}`)
	}))
	t.Cleanup(origin.Close)
	r := fleet(t, redistest.Start(t), 1, map[string]string{"OPENAI_BASE_URL": origin.URL + "/v1", "OPENAI_API_KEYS": threeKeys(), "LOG_LEVEL": "error",
		"CLIENT_TOKENS": fmt.Sprintf(`[{"id":"soft","token":%q}]`, clientToken)})[0]
	if a := r.post(t, "/v1/responses", clientToken, laterAsk); a.status != 200 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	for i := range 3 {
		if a := r.get(t, "/v1/responses/resp_1", clientToken); a.status != 200 {
			t.Fatalf("%d %s", a.status, a.body)
		}
		eventually(t, "the look is counted", func() bool { return r.stats(t).Totals.Requests == int64(i)+2 })
		if out := r.stats(t).Totals.Tokens.Output; out != []int64{0, 0, 1200}[i] {
			t.Errorf("after look %d %d tokens are counted", i, out)
		}
	}
}
