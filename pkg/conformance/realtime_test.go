package conformance

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/realtime"
)

// The official SDK for Go over WebSocket: Realtime. That for Node, as in a browser, is in sdk.test.mjs.
func TestGoSDKRealtime(t *testing.T) {
	r := start(t)
	c := r.client()
	session, err := c.Realtime.Connect(t.Context(), realtime.RealtimeConnectionOptions{}, option.WithQuery("model", "gpt-realtime"))
	if err != nil {
		t.Fatal(err)
	}
	if err := session.SendRaw(t.Context(), json.RawMessage(`{"type":"response.create"}`)); err != nil {
		t.Fatal(err)
	}
	for {
		event, err := session.Recv(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if event.Type == "response.done" {
			if u := event.AsResponseDoneEvent().Response.Usage; u.InputTokens != 19 || u.OutputTokens != 20 {
				t.Errorf("usage %+v", u)
			}
			break
		}
	}
	if err := session.Close(); err != nil {
		t.Error(err)
	}
	if asked := r.asked(t); asked[0].Path != "/v1/realtime?model=gpt-realtime" || asked[0].Key == token {
		t.Errorf("the upstream was asked %+v", asked)
	}
}

// A session whose client has used up its quota: the SDK sees the refusal as the upstream's own errors, and the session goes on.
func TestGoSDKRealtimeRefused(t *testing.T) {
	r := start(t, fmt.Sprintf(`CLIENT_TOKENS=[{"id":"sdk","token":%q,"quota":{"tokens":100,"period":"total"}}]`, token))
	c := r.client()
	session, err := c.Realtime.Connect(t.Context(), realtime.RealtimeConnectionOptions{}, option.WithQuery("model", "gpt-realtime"))
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	ask := func() {
		if err := session.SendRaw(t.Context(), json.RawMessage(`{"type":"response.create","event_id":"mine"}`)); err != nil {
			t.Fatal(err)
		}
	}
	refused := 0
	for ask(); refused < 2; {
		event, err := session.Recv(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		switch event.Type {
		case "response.done":
			ask()
		case "error":
			if e := event.AsRealtimeErrorEvent().Error; e.Code != "insufficient_quota" || e.Type != "insufficient_quota" || e.EventID != "mine" || e.Message == "" {
				t.Errorf("refused with %+v", e)
			}
			if refused++; refused < 2 {
				ask() // it goes on, and is refused again
			}
		}
	}
	if asked := r.asked(t); len(asked) != 1 {
		t.Errorf("the upstream was asked %+v", asked)
	}
}

// Responses over a WebSocket, for one developer with one key.
func TestGoSDKResponsesOverWebSocket(t *testing.T) {
	r := start(t, "OPENAI_API_KEYS=", "OPENAI_API_KEY="+keyA)
	c := r.client()
	session, err := c.Beta.Responses.Connect(t.Context(), openai.BetaResponseConnectionOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := session.SendRaw(t.Context(), json.RawMessage(`{"type":"response.create","model":"gpt-4o","input":"Hello"}`)); err != nil {
		t.Fatal(err)
	}
	for {
		event, err := session.Recv(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if event.Type == "response.completed" {
			break
		}
	}
	if err := session.Close(); err != nil {
		t.Error(err)
	}
}
