package app_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"github.com/tidwall/gjson"

	"openai-api-proxy/pkg/mockopenai"
	"openai-api-proxy/pkg/redistest"
)

// exhaust asks for responses until one is refused, and returns the refusal and how many were answered.
func (c *talk) exhaust() (refusal gjson.Result, answered int) {
	c.t.Helper()
	for ; answered < 200; answered++ {
		c.say(`{"type":"response.create","event_id":"mine","stream_id":"lane"}`)
		for {
			_, text, err := c.Read(c.ctx)
			if err != nil {
				c.t.Fatal(err)
			}
			event := gjson.ParseBytes(text)
			if typed := event.Get("type").Str; typed == "error" {
				return event, answered
			} else if strings.HasPrefix(typed, "response.") && (strings.HasSuffix(typed, ".done") || typed == "response.completed") {
				break
			}
		}
	}
	c.t.Fatal("nothing is refused")
	return refusal, answered
}

// until reads events up to one of the types, or to the end.
func (c *talk) until(types ...string) error {
	for {
		_, text, err := c.Read(c.ctx)
		if err != nil || slices.Contains(types, gjson.GetBytes(text, "type").Str) {
			return err
		}
	}
}

// used is how much of its first quota a client has used.
func (r *rig) used(t testing.TB, client string) float64 {
	t.Helper()
	return gjson.Get(r.get(t, "/api/clients/"+client, adminToken).body, "balances.0.used").Float()
}

// A session that has used up what its client may use gets an error for each response that it asks for, and goes on: it can be
// asked for more when there is something left again.
func TestSessionThatIsExhausted(t *testing.T) {
	mock, url := upstream(t, mockopenai.WithSettings(mockopenai.Settings{Chunks: 200, ContentBytes: 40}))
	for _, env := range []map[string]string{{}, {"REDIS_URL": redistest.Start(t).URL()}} {
		env["OPENAI_BASE_URL"], env["OPENAI_API_KEY"] = url, keyNumber(1)
		env["CLIENT_TOKENS"] = fmt.Sprintf(`[{"id":"rate","token":%q,"tpm":3000,"rpm":2},{"id":"quota","token":%q,"quota":{"tokens":3000,"period":"total"}},
			{"id":"small","token":%q,"quota":{"tokens":500,"period":"total"}},{"id":"money","token":%q,"quota":{"usd":0.003,"period":"total"}}]`,
			tokenOf("rate"), tokenOf("quota"), tokenOf("small"), tokenOf("money"))
		env["CONFIG_FILE"], env["file"] = "c.json", `{"prices":{"gpt-realtime":{"input":1,"output":1}}}`
		r := start(t, env)
		for _, c := range []struct {
			client, kind, code, message string
			least, most                 int
		}{
			{"rate", "rate_limit_error", "rate_limit_exceeded", "rate limit of 3000 tokens per minute reached", 10, 30},
			{"quota", "insufficient_quota", "insufficient_quota", "quota of 3000 tokens in total used up; it does not renew", 11, 14},
			{"small", "insufficient_quota", "insufficient_quota", "quota of 500 tokens in total used up", 1, 3},
			{"money", "insufficient_quota", "insufficient_quota", "quota of 0.003 dollars in total used up", 11, 14},
		} {
			s := r.realtime(t, tokenOf(c.client))
			seen := mock.Stats()[keyNumber(1)].InputTokens
			event, answered := s.exhaust()
			if e := event.Get("error"); event.Get("status").Int() != 429 || e.Get("type").Str != c.kind || e.Get("code").Str != c.code ||
				!strings.HasPrefix(e.Get("message").Str, c.message) || e.Get("event_id").Str != "mine" || event.Get("stream_id").Str != "lane" ||
				!strings.HasPrefix(event.Get("event_id").Str, "event_") || !e.Get("param").Exists() {
				t.Errorf("%s: %s", c.client, event.Raw)
			}
			if answered < c.least || answered > c.most {
				t.Errorf("%s: %d responses", c.client, answered)
			}
			if now := mock.Stats()[keyNumber(1)].InputTokens; now != seen+int64(19*answered) {
				t.Errorf("%s: the upstream was asked for more than was answered", c.client)
			}
			s.say(`{"type":"mock.echo","text":"` + strings.Repeat("still here ", 20) + `"}`)
			s.hear("mock.echo")
			w, err := s.Writer(s.ctx, websocket.MessageText)
			if err != nil {
				t.Fatal(err)
			}
			for part := range strings.SplitAfterSeq(`{"type" : "response.create" , "event_id" : "in parts"}`, " ") {
				_, _ = w.Write([]byte(part))
			}
			_ = w.Close()
			if event := s.hear("error"); event.Get("error.event_id").Str != "in parts" {
				t.Errorf("%s, in parts: %s", c.client, event.Raw)
			}
			if c.client == "quota" {
				eventually(t, "the quota was charged what was used", func() bool { return r.used(t, "quota") == float64(219*answered) })
			}
			_ = s.Close(1000, "")
		}
		if a := r.get(t, "/metrics", adminToken).body; !strings.Contains(a, "oap_sockets_open 0") {
			t.Log(a)
		}
		eventually(t, "nothing stays charged that was not used", func() bool { return int(r.used(t, "quota"))%219 == 0 })
	}
}

// Where the upstream answers without being asked, or writes down what it hears, a session that has nothing left is closed.
func TestExhaustedWithoutAsking(t *testing.T) {
	mock, url := upstream(t, mockopenai.WithSettings(mockopenai.Settings{Chunks: 200, ContentBytes: 40}))
	r := start(t, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEY": keyNumber(1), "CLIENT_TOKENS": fmt.Sprintf(
		`[{"id":"speech","token":%q,"quota":{"tokens":3000,"period":"total"}},{"id":"transcript","token":%q,"quota":{"tokens":3000,"period":"total"}}]`,
		tokenOf("speech"), tokenOf("transcript"))})
	for _, order := range []string{"speech", "transcript"} {
		s := r.realtime(t, tokenOf(order))
		var closed websocket.CloseError
		for err := error(nil); err == nil; { // one after the other
			s.say(`{"type":"mock.` + order + `"}`)
			err = s.until("response.done", "conversation.item.input_audio_transcription.completed")
			errors.As(err, &closed)
		}
		if code, reason := closed.Code, closed.Reason; code != 1008 || reason != "quota of 3000 tokens in total used up; it does not renew" {
			t.Errorf("%s: closed with %d %q", order, code, reason)
		}
		eventually(t, "it was charged", func() bool { return r.used(t, order) > 2700 })
		if used := r.used(t, order); used > 4000 { // the last one, and one that the upstream had begun
			t.Errorf("%s: used %v", order, used)
		}
	}
	eventually(t, "the upstream is left", func() bool { return len(mock.Ends()) == 2 })
}

// Responses over a WebSocket are limited alike, by the model that each names.
func TestExhaustedResponses(t *testing.T) {
	_, url := upstream(t, mockopenai.WithSettings(mockopenai.Settings{Chunks: 200, ContentBytes: 40}))
	r := start(t, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEY": keyNumber(1), "CLIENT_TOKENS": fmt.Sprintf(
		`[{"id":"quota","token":%q,"quota":{"tokens":3000,"period":"total"}}]`, tokenOf("quota"))})
	s := r.socket(t, "/v1/responses", tokenOf("quota"))
	if event, answered := s.exhaust(); event.Get("error.code").Str != "insufficient_quota" || answered < 11 || answered > 14 {
		t.Errorf("after %d: %s", answered, event.Raw)
	}
}
