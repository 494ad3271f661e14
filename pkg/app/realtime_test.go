package app_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
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
