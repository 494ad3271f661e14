package app_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"openai-api-proxy/pkg/mockopenai"
)

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

// Browsers let any page open a WebSocket and read it: which may is decided here, as it is for requests there.
func TestOriginOfAnUpgrade(t *testing.T) {
	mock, url := upstream(t)
	env := map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEY": keyNumber(1)}
	open := start(t, env)
	if c, resp := open.dial(t, realtime, keyNumber(1), "Origin", "https://anywhere.example"); c == nil {
		t.Errorf("where all may: %d %s", resp.StatusCode, bodyOf(resp))
	}
	env["CORS_ORIGINS"] = "https://app.example, http://localhost:3000"
	r := start(t, env)
	asked := len(mock.Requests())
	for origin, may := range map[string]bool{"": true, "https://app.example": true, "http://localhost:3000": true, "https://evil.example": false,
		"http://app.example": false, "https://app.example:8443": false, "https://app.example.evil.example": false, "null": false, "*": false} {
		headers := []string{"Origin", origin}
		if origin == "" {
			headers = nil
		}
		c, resp := r.dial(t, realtime, keyNumber(1), headers...)
		switch {
		case (c != nil) != may:
			t.Errorf("%q: %d", origin, resp.StatusCode)
		case !may:
			if body := bodyOf(resp); resp.StatusCode != 403 || !strings.Contains(body, `"code":"origin_not_allowed"`) {
				t.Errorf("%q: %d %s", origin, resp.StatusCode, body)
			}
		}
	}
	if got := len(mock.Requests()) - asked; got != 3 {
		t.Errorf("the upstream was asked %d times for 3 sessions that were allowed", got)
	}
	conn, err := net.Dial("tcp", r.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: proxy\r\nAuthorization: Bearer %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: https://app.example\r\nOrigin: https://evil.example\r\n\r\n",
		realtime, keyNumber(1))
	if resp, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || resp.StatusCode != 403 {
		t.Errorf("two origins: %v %v", resp, err)
	}
}
