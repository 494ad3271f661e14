package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/tidwall/gjson"

	"openai-api-proxy/pkg/mockopenai"
)

// talk is a WebSocket of a caller.
type talk struct {
	*websocket.Conn
	t   testing.TB
	ctx context.Context
}

// dial asks for a WebSocket. headers are names and values in turn.
func (r *rig) dial(t testing.TB, path, token string, headers ...string) (*talk, *http.Response) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	o := &websocket.DialOptions{HTTPClient: r.http, HTTPHeader: http.Header{}, CompressionMode: websocket.CompressionContextTakeover}
	if token != "" {
		o.HTTPHeader.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		o.HTTPHeader.Set(headers[i], headers[i+1])
	}
	c, resp, err := websocket.Dial(ctx, r.url+path, o)
	if err != nil {
		if resp == nil {
			t.Fatal(err)
		}
		return nil, resp
	}
	c.SetReadLimit(16 << 20)
	t.Cleanup(func() { c.CloseNow() })
	return &talk{c, t, ctx}, resp
}

// socket is dial for a session that must begin.
func (r *rig) socket(t testing.TB, path, token string, headers ...string) *talk {
	t.Helper()
	c, resp := r.dial(t, path, token, headers...)
	if c == nil {
		body, _ := io.ReadAll(resp.Body)
		t.Fatalf("%s: %d %s", path, resp.StatusCode, body)
	}
	return c
}

const realtime = "/v1/realtime?model=gpt-realtime"

// realtime opens a session and hears that it has begun.
func (r *rig) realtime(t testing.TB, token string) *talk {
	t.Helper()
	c := r.socket(t, realtime, token)
	c.hear("session.created")
	return c
}

func (c *talk) say(text string) {
	c.t.Helper()
	if err := c.Write(c.ctx, websocket.MessageText, []byte(text)); err != nil {
		c.t.Fatal(err)
	}
}

// hear reads events up to one of the type.
func (c *talk) hear(typed string) gjson.Result {
	c.t.Helper()
	for {
		_, text, err := c.Read(c.ctx)
		if err != nil {
			c.t.Fatalf("waiting for %s: %v", typed, err)
		}
		if event := gjson.ParseBytes(text); event.Get("type").Str == typed {
			return event
		}
	}
}

// ended reads to the end and returns the code and the reason of the close; -1 when there was none.
func (c *talk) ended() (int, string) {
	c.t.Helper()
	for {
		_, _, err := c.Read(c.ctx)
		if err == nil {
			continue
		}
		if c.ctx.Err() != nil {
			c.t.Fatal("the session goes on")
		}
		closed := websocket.CloseError{Code: -1}
		errors.As(err, &closed)
		return int(closed.Code), closed.Reason
	}
}

// remembered is the last finished request of an operation, as the management API tells it.
func (r *rig) remembered(t testing.TB, operation string) gjson.Result {
	t.Helper()
	var found gjson.Result
	eventually(t, "a finished session is remembered", func() bool {
		found = gjson.Get(r.get(t, "/api/requests?operation="+operation, adminToken).body, "data.0")
		return found.Exists()
	})
	return found
}

func TestRealtime(t *testing.T) {
	mock, url := upstream(t, mockopenai.WithSettings(mockopenai.Settings{Chunks: 20, ContentBytes: 40, Requests: 10}))
	r := start(t, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEY": keyNumber(1),
		"CLIENT_TOKENS": fmt.Sprintf(`[{"id":"team","token":%q}]`, clientToken)})
	c := r.realtime(t, clientToken)
	for range 2 {
		c.say(`{"type":"response.create"}`)
		c.hear("response.done")
	}
	if err := c.Close(websocket.StatusNormalClosure, "bye"); err != nil {
		t.Error(err)
	}
	eventually(t, "the upstream hears the close", func() bool { return slices.Equal(mock.Ends(), []string{"1000 bye"}) })
	seen := mock.Requests()[0]
	if seen.Key != keyNumber(1) || seen.Path != realtime || seen.Header.Get("Sec-Websocket-Extensions") != "" || strings.Contains(fmt.Sprint(seen), clientToken) {
		t.Errorf("the upstream saw %+v", seen)
	}
	got := r.remembered(t, "/v1/realtime")
	if got.Get("status").Int() != 101 || got.Get("outcome").Str != "succeeded" || got.Get("model").Str != "gpt-realtime" || got.Get("client").Str != "team" ||
		got.Get("tokens.input").Int() != 38 || got.Get("tokens.cached").Int() != 16 || got.Get("tokens.output").Int() != 40 || got.Get("tokensBasis").Str != "exact" ||
		got.Get("bytesIn").Int() == 0 || got.Get("bytesOut").Int() == 0 || !got.Get("stream").Bool() {
		t.Errorf("remembered %s", got.Raw)
	}
	if log := r.logs.String(); !strings.Contains(log, `"messages_in":2,"messages_out":45,"close":1000`) || strings.Contains(log, clientToken) {
		t.Errorf("logged %s", log)
	}
	metrics := r.get(t, "/metrics", adminToken).body
	for _, line := range []string{`oap_socket_messages_total{by="caller"} 2`, `oap_socket_messages_total{by="upstream"} 45`, "oap_sockets_open 0", "oap_socket_seconds_count 1",
		`oap_tokens_total{kind="output",model="gpt-realtime"} 40`} {
		if !strings.Contains(metrics, line) {
			t.Errorf("no %s", line)
		}
	}
}

// What passes is what was sent: large, binary, in fragments, and pings both ways.
func TestRealtimeFrames(t *testing.T) {
	_, url := upstream(t)
	r := start(t, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEY": keyNumber(1)})
	c := r.realtime(t, keyNumber(1))
	large := make([]byte, 4<<20)
	for i := range large {
		large[i] = byte(i * 7)
	}
	if err := c.Write(c.ctx, websocket.MessageBinary, large); err != nil {
		t.Fatal(err)
	}
	if kind, back, err := c.Read(c.ctx); err != nil || kind != websocket.MessageBinary || !bytes.Equal(back, large) {
		t.Fatalf("%d bytes of type %v came back, %v", len(back), kind, err)
	}
	long := `{"type":"mock.echo","text":"` + strings.Repeat("fragment ", 30_000) + `"}`
	w, err := c.Writer(c.ctx, websocket.MessageText)
	if err != nil {
		t.Fatal(err)
	}
	for part := range strings.SplitAfterSeq(long, " ") {
		_, _ = io.WriteString(w, part)
	}
	_ = w.Close()
	if _, back, err := c.Read(c.ctx); err != nil || string(back) != long {
		t.Fatalf("%d bytes came back, %v", len(back), err)
	}
	pieces := `{"type":"mock.fragments","count":50,"text":"` + strings.Repeat("x", 100_000) + `"}`
	c.say(pieces)
	if _, back, err := c.Read(c.ctx); err != nil || string(back) != pieces {
		t.Fatalf("%d bytes came back, %v", len(back), err)
	}
	c.say(`{"type":"mock.ping"}`)
	c.hear("mock.pong")
	other := r.realtime(t, keyNumber(1))
	reading := other.CloseRead(other.ctx)
	if err := other.Ping(reading); err != nil {
		t.Errorf("a ping is not answered: %v", err)
	}
}

// A close keeps its code and its reason, whichever side it comes from, and a connection that is lost stays one that is lost.
func TestRealtimeCloses(t *testing.T) {
	mock, url := upstream(t)
	r := start(t, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEY": keyNumber(1)})
	for _, c := range []struct {
		order  string
		code   int
		reason string
	}{
		{`{"type":"mock.close","code":1000,"reason":""}`, 1000, ""},
		{`{"type":"mock.close","code":4002,"reason":"enough of you"}`, 4002, "enough of you"},
		{`{"type":"mock.close","code":1011,"reason":"server error"}`, 1011, "server error"},
		{`{"type":"mock.cut"}`, -1, ""},
	} {
		s := r.realtime(t, keyNumber(1))
		s.say(c.order)
		if code, reason := s.ended(); code != c.code || reason != c.reason {
			t.Errorf("%s: closed with %d %q", c.order, code, reason)
		}
	}
	s := r.realtime(t, keyNumber(1))
	if err := s.Close(4001, "my own reason"); err != nil {
		t.Error(err)
	}
	gone := r.realtime(t, keyNumber(1))
	gone.CloseNow()
	eventually(t, "the upstream hears both", func() bool {
		ends := mock.Ends() // those that it ended itself are gone, too
		slices.Sort(ends)
		return slices.Equal(ends, []string{"4001 my own reason", "gone", "gone", "gone", "gone", "gone"})
	})
	outcomes := map[string]int{}
	eventually(t, "all are accounted for", func() bool {
		clear(outcomes)
		all := gjson.Get(r.get(t, "/api/requests", adminToken).body, "data").Array()
		for _, one := range all {
			outcomes[one.Get("outcome").Str]++
		}
		return len(all) == 6
	})
	if outcomes["succeeded"] != 3 || outcomes["failed"] != 2 || outcomes["left"] != 1 {
		t.Errorf("outcomes %v", outcomes)
	}
}

// An upgrade that is refused is an answer like any other: another key is tried, and what the caller may see passes with its body,
// without our secrets.
func TestRefusedUpgrades(t *testing.T) {
	mock, url := upstream(t)
	r := start(t, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEYS": threeKeys()})
	mock.Fault(mockopenai.Fault{Key: keyNumber(1), Kind: "429", RetryAfter: 60})
	mock.Fault(mockopenai.Fault{Key: keyNumber(2), Kind: "401"})
	for range 3 {
		s := r.realtime(t, keyNumber(1))
		s.say(`{"type":"response.create"}`)
		s.hear("response.done")
		_ = s.Close(1000, "")
	}
	if mock.Stats()[keyNumber(3)].Requests != 3 {
		t.Errorf("the third key served %d of 3", mock.Stats()[keyNumber(3)].Requests)
	}
	mock.Fault(mockopenai.Fault{Key: keyNumber(3), Kind: "403_country"})
	if _, resp := r.dial(t, realtime, keyNumber(1)); resp.StatusCode != 403 || !strings.Contains(bodyOf(resp), "unsupported_country_region_territory") {
		t.Errorf("a refusal of the upstream: %d", resp.StatusCode)
	}
	mock.Fault(mockopenai.Fault{Key: keyNumber(3), Kind: "429", RetryAfter: 60})
	if _, resp := r.dial(t, realtime, keyNumber(1)); resp.StatusCode != 429 || resp.Header.Get("Retry-After") == "" {
		t.Errorf("with every key cooling: %d %s", resp.StatusCode, bodyOf(resp))
	}
}

func bodyOf(resp *http.Response) string {
	body, _ := io.ReadAll(resp.Body)
	return string(body)
}

// A refusal that repeats our key, and an upstream that switches to something else.
func TestOddUpgrades(t *testing.T) {
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		switch req.URL.Query().Get("model") {
		case "leaky":
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprintf(w, `{"error":{"message":"%s may not","type":"x","code":"y"}}`, req.Header.Get("Authorization"))
		case "plain":
			fmt.Fprint(w, "no socket here")
		default:
			conn, _, _ := http.NewResponseController(w).Hijack()
			fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: tea\r\n\r\n")
			conn.Close()
		}
	}))
	defer up.Close()
	r := start(t, map[string]string{"OPENAI_BASE_URL": up.URL, "OPENAI_API_KEY": keyNumber(1)})
	if _, resp := r.dial(t, "/v1/realtime?model=leaky", keyNumber(1)); resp.StatusCode != 403 {
		t.Errorf("%d", resp.StatusCode)
	} else if body := bodyOf(resp); !strings.Contains(body, "may not") || strings.Contains(body, keyNumber(1)) {
		t.Errorf("passed %s", body)
	}
	if _, resp := r.dial(t, "/v1/realtime?model=plain", keyNumber(1)); resp.StatusCode != 200 || bodyOf(resp) != "no socket here" {
		t.Errorf("an upstream without WebSockets: %d", resp.StatusCode)
	}
	if _, resp := r.dial(t, "/v1/realtime?model=tea", keyNumber(1)); resp.StatusCode != 502 {
		t.Errorf("an upstream that switches to something else: %d", resp.StatusCode)
	}
	if a := r.get(t, realtime, keyNumber(1)); a.status != 400 || a.code() != "invalid_request" {
		t.Errorf("without an upgrade: %d %s", a.status, a.body)
	}
}

// A browser's token stands among the subprotocols. It goes no further, and counts for WebSockets only.
func TestTokenInSubprotocol(t *testing.T) {
	mock, url := upstream(t)
	r := start(t, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEY": keyNumber(1),
		"CLIENT_TOKENS": fmt.Sprintf(`[{"id":"team","token":%q}]`, clientToken)})
	const header = "Sec-WebSocket-Protocol"
	offer := "realtime, openai-insecure-api-key." + clientToken + ", openai-organization.org-x, openai-project.p"
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	c, resp, err := websocket.Dial(ctx, r.url+realtime, &websocket.DialOptions{HTTPClient: r.http, Subprotocols: strings.Split(offer, ", ")})
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	if c.Subprotocol() != "realtime" || resp.Header.Get(header) != "realtime" {
		t.Errorf("the subprotocol is %q", c.Subprotocol())
	}
	if seen := mock.Requests()[0]; seen.Header.Get(header) != "realtime" || strings.Contains(fmt.Sprint(seen), clientToken) || seen.Key != keyNumber(1) {
		t.Errorf("the upstream saw %+v", seen)
	}
	for name, a := range map[string]struct {
		path, token, offer string
		want               int
	}{
		"a wrong token":           {realtime, "", "openai-insecure-api-key." + clientToken + "x", 401},
		"no token":                {realtime, "", "realtime", 401},
		"two tokens":              {realtime, "", offer + ", openai-insecure-api-key.x", 400},
		"a header beside it":      {realtime, clientToken, offer, 400},
		"something else than one": {"/v1/models", "", offer, 401},
	} {
		if _, resp := r.dial(t, a.path, a.token, header, a.offer); resp.StatusCode != a.want {
			t.Errorf("%s: %d %s", name, resp.StatusCode, bodyOf(resp))
		}
	}
	if strings.Contains(r.logs.String(), clientToken) {
		t.Error("the token is in the log")
	}
}

// The limits of a client hold while its session goes on.
func TestRealtimeLimits(t *testing.T) {
	_, url := upstream(t, mockopenai.WithSettings(mockopenai.Settings{Chunks: 200, ContentBytes: 40}))
	r := start(t, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEY": keyNumber(1), "CLIENT_TOKENS": fmt.Sprintf(
		`[{"id":"tokens","token":%q,"tpm":1500},{"id":"slots","token":%q,"concurrency":1},{"id":"strict","token":%q,"tpm":9000,"mode":"strict"},{"id":"models","token":%q,"models":["gpt-realtime"]}]`,
		tokenOf("tokens"), tokenOf("slots"), tokenOf("strict"), tokenOf("models"))})
	s := r.realtime(t, tokenOf("tokens"))
	for range 8 {
		s.say(`{"type":"response.create"}`)
		s.hear("response.done")
	}
	eventually(t, "what the session uses is charged while it goes on", func() bool {
		a := r.post(t, "/v1/chat/completions", tokenOf("tokens"), plain)
		return a.status == 429 && a.code() == "rate_limit_exceeded"
	})
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
		"no model":               {"/v1/realtime?intent=transcription", "models", 400},
		"sessions of calls":      {realtime + "&call_id=rtc_1", "slots", 400},
		"what gives out secrets": {"/v1/realtime/sessions", "models", 403},
	} {
		if _, resp := r.dial(t, a.path, tokenOf(a.client)); resp.StatusCode != a.want {
			t.Errorf("%s: %d %s", name, resp.StatusCode, bodyOf(resp))
		}
	}
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
