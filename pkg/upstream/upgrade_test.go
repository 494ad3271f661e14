package upstream

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"openai-api-proxy/pkg/mockopenai"
	"openai-api-proxy/pkg/openai"
	"openai-api-proxy/pkg/proxy"
)

// A WebSocket is asked for over HTTP/1.1, also of an upstream that prefers HTTP/2 and gets it for everything else.
func TestUpgradeKeepsOffHTTP2(t *testing.T) {
	mock := mockopenai.New()
	var versions sync.Map // of HTTP, by path
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		versions.Store(r.URL.Path, r.ProtoMajor)
		mock.ServeHTTP(w, r)
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	defer mock.Close()
	c := New(Options{IdleTimeout: time.Minute, WriteTimeout: time.Minute})
	defer c.Close()
	c.transport.TLSClientConfig = &tls.Config{RootCAs: server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}
	key := &proxy.Key{ID: "k", Secret: proxy.NewSecret("sk-test-upgrade-00000001"), Endpoint: server.URL}
	socket := openai.Operation{Method: http.MethodGet, Path: "/v1/realtime", Socket: true}
	for range 2 {
		if v := c.Confirm(t.Context(), key); v.Outcome != proxy.Served {
			t.Fatalf("%+v", v)
		}
		a := c.Do(t.Context(), key, &proxy.Call{Op: socket, Path: socket.Path, Query: "model=gpt-realtime", Header: http.Header{
			"Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Extensions": {"permessage-deflate"},
			"Sec-Websocket-Protocol": {"openai-insecure-api-key.sk-test-of-a-caller, realtime"}}}, time.Minute)
		if a.Verdict.Outcome != proxy.Served || a.Verdict.Status != http.StatusSwitchingProtocols || a.socket == nil {
			t.Fatalf("%+v", a.Verdict)
		}
		if h := a.resp.Header; h.Get("Sec-Websocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" || h.Get("Sec-Websocket-Protocol") != "realtime" {
			t.Errorf("answered %v", h)
		}
		a.Close()
	}
	for path, want := range map[string]int{"/v1/models": 2, "/v1/realtime": 1} {
		if got, _ := versions.Load(path); got != want {
			t.Errorf("%s was asked for over HTTP/%v", path, got)
		}
	}
	for _, r := range mock.Requests() {
		if h := r.Header; h.Get("Sec-Websocket-Extensions") != "" || h.Get("Sec-Websocket-Protocol") != "" && h.Get("Sec-Websocket-Protocol") != "realtime" {
			t.Errorf("the upstream saw %v", h)
		}
	}
}
