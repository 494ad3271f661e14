package app_test

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"openai-api-proxy/pkg/mockopenai"
)

// The limits of a client hold while its session goes on.
func TestRealtimeLimits(t *testing.T) {
	_, url := upstream(t, mockopenai.WithSettings(mockopenai.Settings{Chunks: 200, ContentBytes: 40}))
	r := start(t, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEY": keyNumber(1), "CLIENT_TOKENS": fmt.Sprintf(
		`[{"id":"tokens","token":%q,"quota":{"tokens":3000,"period":"total"}},{"id":"slots","token":%q,"concurrency":1},{"id":"strict","token":%q,"tpm":9000,"mode":"strict"},{"id":"models","token":%q,"models":["gpt-realtime"]},
		{"id":"free","token":%q}]`, tokenOf("tokens"), tokenOf("slots"), tokenOf("strict"), tokenOf("models"), tokenOf("free"))})
	s := r.realtime(t, tokenOf("tokens"))
	if a := r.post(t, "/v1/chat/completions", tokenOf("tokens"), plain); a.status != 200 {
		t.Errorf("beside a session that has used nothing: %d %s", a.status, a.body)
	}
	s.exhaust()
	if a := r.post(t, "/v1/chat/completions", tokenOf("tokens"), strings.Replace(plain, "Hello", strings.Repeat("Hello ", 200), 1)); a.status != 429 || a.code() != "insufficient_quota" {
		t.Errorf("beside a session that has used up everything: %d %s", a.status, a.body)
	}
	if _, resp := r.dial(t, realtime, tokenOf("tokens")); resp.StatusCode != 429 {
		t.Errorf("another session: %d", resp.StatusCode)
	}
	one := r.realtime(t, tokenOf("slots"))
	if _, resp := r.dial(t, realtime, tokenOf("slots")); resp.StatusCode != 429 {
		t.Errorf("a second session at once: %d", resp.StatusCode)
	}
	_ = one.Close(1000, "")
	eventually(t, "the slot is free again", func() bool {
		c, _ := r.dial(t, realtime, tokenOf("slots"))
		return c != nil
	})
	for name, a := range map[string]struct {
		path, client string
		want         int
	}{
		"a strict client":        {realtime, "strict", 400},
		"another model":          {"/v1/realtime?model=gpt-4o", "models", 403},
		"two models":             {realtime + "&model=gpt-4o", "models", 400},
		"no model":               {"/v1/realtime?intent=conversation", "models", 400},
		"a call of nobody":       {realtime + "&call_id=rtc_1", "free", 404},
		"a call, with limits":    {realtime + "&call_id=rtc_1", "models", 403},
		"what gives out secrets": {"/v1/realtime/sessions", "models", 403},
	} {
		if _, resp := r.dial(t, a.path, tokenOf(a.client)); resp.StatusCode != a.want {
			t.Errorf("%s: %d %s", name, resp.StatusCode, bodyOf(resp))
		}
	}
}

// refusedSoon asks a few times, too few to use up a limit, until what a session used has been told.
func (r *rig) refusedSoon(t *testing.T, token string) {
	t.Helper()
	for range 10 {
		if a := r.post(t, "/v1/chat/completions", token, plain); a.status == 429 && a.code() == "rate_limit_exceeded" {
			return
		}
		time.Sleep(300 * time.Millisecond)
	}
	t.Error("what the session used is not charged while it goes on")
}

// So do those of its key, and the session holds one of the requests that its key takes at once.
func TestLimitsOfAKeyInASession(t *testing.T) {
	_, url := upstream(t, mockopenai.WithSettings(mockopenai.Settings{Chunks: 200, ContentBytes: 40}))
	r := start(t, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEYS": fmt.Sprintf(`[{"id":"tokens","key":%q,"tpm":6000,"pool":"tokens"},
		{"id":"slots","key":%q,"concurrency":1,"pool":"slots"}]`, keyNumber(1), keyNumber(2)), "CLIENT_TOKENS": fmt.Sprintf(
		`[{"id":"tokens","token":%q,"pool":"tokens"},{"id":"slots","token":%q,"pool":"slots"}]`, tokenOf("tokens"), tokenOf("slots"))})
	s := r.realtime(t, tokenOf("tokens"))
	if a := r.post(t, "/v1/chat/completions", tokenOf("tokens"), plain); a.status != 200 {
		t.Errorf("beside a session that has used nothing: %d %s", a.status, a.body)
	}
	for range 60 {
		s.say(`{"type":"response.create"}`)
		s.hear("response.done")
	}
	r.refusedSoon(t, tokenOf("tokens"))
	one := r.realtime(t, tokenOf("slots"))
	if a := r.post(t, "/v1/chat/completions", tokenOf("slots"), plain); a.status != 429 {
		t.Errorf("a request beside the session: %d %s", a.status, a.body)
	}
	_ = one.Close(1000, "")
	eventually(t, "the slot is free again", func() bool {
		return r.post(t, "/v1/chat/completions", tokenOf("slots"), plain).status == 200
	})
}

// Responses over a WebSocket, where nothing stored could be somebody else's.
func TestResponsesOverWebSocket(t *testing.T) {
	_, url := upstream(t, mockopenai.WithSettings(mockopenai.Settings{Chunks: 5, ContentBytes: 40}))
	r := start(t, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEY": keyNumber(1)})
	s := r.socket(t, "/v1/responses", keyNumber(1))
	s.say(`{"type":"response.create","model":"gpt-4o","input":"Hello"}`)
	s.hear("response.completed")
	_ = s.Close(1000, "")
	if got := r.remembered(t, "/v1/responses"); got.Get("tokens.input").Int() != 19 || got.Get("tokens.output").Int() != 5 {
		t.Errorf("remembered %s", got.Raw)
	}
}

// Where stored objects have owners, and for clients with a list of models, what the caller says is looked at before the upstream
// has it: what points at somebody else's, or names another model, ends the session.
func TestSessionsAreLookedAt(t *testing.T) {
	mock, url := upstream(t, mockopenai.WithSettings(mockopenai.Settings{Chunks: 3, ContentBytes: 40}))
	r := start(t, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEYS": fmt.Sprintf(`[{"id":"a","key":%q,"account":"one"},{"id":"b","key":%q,"account":"one"}]`, keyNumber(1), keyNumber(2)),
		"CLIENT_TOKENS": fmt.Sprintf(`[{"id":"mine","token":%q},{"id":"other","token":%q},{"id":"models","token":%q,"models":["gpt-4o*","gpt-realtime"]}]`,
			tokenOf("mine"), tokenOf("other"), tokenOf("models"))})
	first := r.socket(t, "/v1/responses", tokenOf("mine"))
	first.say(`{"type":"response.create","model":"gpt-4o","input":"Hello"}`)
	id := first.hear("response.completed").Get("response.id").Str
	again := `{"type":"response.create","model":"gpt-4o","input":"` + strings.Repeat("And then? ", 10_000) + `","previous_response_id":"` + id + `"}`
	w, err := first.Writer(first.ctx, websocket.MessageText)
	if err != nil {
		t.Fatal(err)
	}
	for part := range strings.SplitAfterSeq(again, " ") {
		_, _ = io.WriteString(w, part)
	}
	_ = w.Close()
	first.hear("response.completed")
	second := r.socket(t, "/v1/responses", tokenOf("mine"))
	second.say(again)
	second.hear("response.completed")
	billed := mock.Stats()[keyNumber(1)].InputTokens + mock.Stats()[keyNumber(2)].InputTokens

	for name, c := range map[string]struct {
		path, client, says string
		code               int
		reason             string
	}{
		"another's response":  {"/v1/responses", "other", again, 1008, "there is no such object"},
		"nobody's response":   {"/v1/responses", "mine", strings.ReplaceAll(again, id, "resp_0123456789"), 1008, "there is no such object"},
		"within the response": {"/v1/responses", "other", `{"type":"response.create","response":{"previous_response_id":"` + id + `"}}`, 1008, "there is no such object"},
		"no JSON":             {"/v1/responses", "other", `{"type":"response.create",`, 1008, "a message could not be read"},
		"another's prompt":    {realtime, "other", `{"type":"session.update","session":{"prompt":{"id":"pmpt_0123456789"}}}`, 1008, "there is no such object"},
		"another model":       {"/v1/responses", "models", `{"type":"response.create","model":"o1","input":"x"}`, 1008, "this API key may not use the model"},
		"no model":            {"/v1/responses", "models", `{"type":"response.create","input":"x"}`, 1008, "model must be named: this API key is limited to certain models"},
		"two models":          {"/v1/responses", "models", `{"type":"response.create","model":"o1","model":"gpt-4o","input":"x"}`, 1008, "model is given more than once"},
		"a model of later":    {realtime, "models", `{"type":"session.update","session":{"model":"o1"}}`, 1008, "this API key may not use the model"},
	} {
		s := r.socket(t, c.path, tokenOf(c.client))
		s.say(c.says)
		if code, reason := s.ended(); code != c.code || reason != c.reason {
			t.Errorf("%s: closed with %d %q", name, code, reason)
		}
	}
	binary := r.socket(t, "/v1/responses", tokenOf("models"))
	_ = binary.Write(binary.ctx, websocket.MessageBinary, []byte(again))
	if code, _ := binary.ended(); code != 1003 {
		t.Errorf("a binary message: %d", code)
	}
	if now := mock.Stats()[keyNumber(1)].InputTokens + mock.Stats()[keyNumber(2)].InputTokens; now != billed {
		t.Errorf("the upstream was asked for %d tokens more", now-billed)
	}
	own := r.realtime(t, tokenOf("models"))
	own.say(`{"type":"response.create","response":{"conversation":"none","input":[{"type":"item_reference","id":"item_0123456789"}]}}`)
	own.hear("response.done")
}

// A drain lets sessions end, and closes those that do not with 1001, on both sides. None is left out of the account.
func TestRealtimeShutdown(t *testing.T) {
	mock, url := upstream(t)
	r := start(t, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEY": keyNumber(1), "DRAIN_TIMEOUT": "500ms"})
	stays, leaves := r.realtime(t, keyNumber(1)), r.realtime(t, keyNumber(1))
	stopped := make(chan error, 1)
	go func() { stopped <- r.Stop() }()
	eventually(t, "it drains", func() bool {
		_, err := r.http.Get(r.url + "/livez")
		return err != nil
	})
	leaves.say(`{"type":"response.create"}`)
	leaves.hear("response.done")
	if err := leaves.Close(1000, "in time"); err != nil {
		t.Errorf("a session that ends within the drain: %v", err)
	}
	if code, reason := stays.ended(); code != 1001 || reason == "" {
		t.Errorf("closed with %d %q", code, reason)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if ends := mock.Ends(); len(ends) != 2 || ends[0] != "1000 in time" || !strings.HasPrefix(ends[1], "1001 ") {
		t.Errorf("the upstream heard %q", ends)
	}
	sessions := 0
	for line := range strings.Lines(r.logs.String()) {
		var rec struct {
			Msg, Operation string
			Close          int
		}
		if json.Unmarshal([]byte(line), &rec) == nil && rec.Msg == "request" && rec.Operation == "/v1/realtime" {
			sessions++
		}
	}
	if sessions != 2 {
		t.Errorf("%d sessions are accounted for", sessions)
	}
}

// A session in which nobody says anything for too long is ended, and both are told.
func TestIdleSession(t *testing.T) {
	mock, url := upstream(t)
	r := start(t, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEY": keyNumber(1), "STREAM_IDLE_TIMEOUT": "300ms"})
	s := r.realtime(t, keyNumber(1))
	if code, reason := s.ended(); code != 1001 || reason != "silent for too long" {
		t.Errorf("closed with %d %q", code, reason)
	}
	eventually(t, "the upstream hears it", func() bool { return slices.Equal(mock.Ends(), []string{"1001 silent for too long"}) })
	if got := r.remembered(t, "/v1/realtime"); got.Get("outcome").Str != "succeeded" || got.Get("status").Int() != 101 {
		t.Errorf("remembered %s", got.Raw)
	}
}
