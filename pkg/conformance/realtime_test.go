package conformance

import (
	"encoding/json"
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
