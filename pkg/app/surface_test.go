package app_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"openai-api-proxy/pkg/mockopenai"
)

func TestBothPrefixesReachTheAPI(t *testing.T) {
	_, url := upstream(t)
	r := start(t, map[string]string{"OPENAI_BASE_URL": url + "/v1", "OPENAI_API_KEY": keyNumber(1)})
	for _, prefix := range []string{"/v1", "/proxy/v1"} {
		if a := r.post(t, prefix+"/chat/completions", keyNumber(1), streamed); !a.whole() {
			t.Errorf("%s: %d %v %s", prefix, a.status, a.err, a.body)
		}
		if a := r.get(t, prefix+"/models/gpt-4o-mini", keyNumber(1)); a.status != 200 {
			t.Errorf("%s: %d %s", prefix, a.status, a.body)
		}
	}
	req, _ := http.NewRequestWithContext(t.Context(), "HEAD", r.url+"/v1/models", nil)
	if a := r.send(t, req, keyNumber(1)); a.status != 200 || a.body != "" {
		t.Errorf("HEAD: %d %q", a.status, a.body)
	}
}

func TestOperationOpenedBySetting(t *testing.T) {
	_, url := upstream(t)
	env := map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEY": keyNumber(1)}
	if a := start(t, env).post(t, "/v1/decisions", keyNumber(1), `{"input":"x"}`); a.status != 404 || a.code() != "unknown_endpoint" {
		t.Errorf("not opened: %d %s", a.status, a.body)
	}
	env["CONFIG_FILE"], env["file"] = "c.json", `{"operations":{"allow":["POST /v1/decisions"],"deny":["POST /v1/embeddings"]}}`
	r := start(t, env)
	if a := r.post(t, "/v1/decisions", keyNumber(1), `{"input":"x"}`); a.status != 200 {
		t.Errorf("opened: %d %s", a.status, a.body)
	}
	if a := r.post(t, "/v1/embeddings", keyNumber(1), `{"model":"m","input":"x"}`); a.status != 403 || a.code() != "endpoint_not_allowed" {
		t.Errorf("denied: %d %s", a.status, a.body)
	}
}

// What is refused, with which status and code, and that none of it reaches the upstream.
func TestRefusals(t *testing.T) {
	mock, url := upstream(t)
	r := start(t, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEYS": threeKeys(), "MAX_BODY_BYTES": "1MiB", "CONFIG_FILE": "c.yaml",
		"file": `
clients:
  - {id: one, token: ` + clientToken + `, models: ["gpt-4o*"]}
  - {id: two, token: sk-test-client-two-0000000000001, ips: ["203.0.113.0/24"]}
  - {id: off, token: sk-test-client-off-0000000000001, enabled: false}
  - {id: old, token: sk-test-client-old-0000000000001, expires: 2020-01-01T00:00:00Z}
`})
	model := func(m string) string { return strings.Replace(plain, "gpt-4o-mini", m, 1) }
	for _, c := range []struct {
		name, method, path, token, body string
		header                          http.Header
		status                          int
		code                            string
	}{
		{name: "no token", path: "/v1/chat/completions", body: plain, status: 401, code: "invalid_api_key"},
		{name: "unknown token", path: "/v1/chat/completions", token: "sk-test-unknown-00000000", body: plain, status: 401, code: "invalid_api_key"},
		{name: "an upstream key is no token once there are clients", path: "/v1/chat/completions", token: keyNumber(1), body: plain, status: 401, code: "invalid_api_key"},
		{name: "disabled", path: "/v1/chat/completions", token: "sk-test-client-off-0000000000001", body: plain, status: 401, code: "invalid_api_key"},
		{name: "expired", path: "/v1/chat/completions", token: "sk-test-client-old-0000000000001", body: plain, status: 401, code: "invalid_api_key"},
		{name: "wrong address", path: "/v1/chat/completions", token: "sk-test-client-two-0000000000001", body: plain, status: 403, code: "ip_not_allowed"},
		{name: "wrong model", path: "/v1/chat/completions", token: clientToken, body: model("o1"), status: 403, code: "model_not_allowed"},
		{name: "no model", path: "/v1/chat/completions", token: clientToken, body: `{}`, status: 400, code: "invalid_request"},
		{name: "doubled model", path: "/v1/chat/completions", token: clientToken, body: `{"model":"gpt-4o","model":"o1"}`, status: 400, code: "invalid_request"},
		{name: "broken body", path: "/v1/chat/completions", token: clientToken, body: `{"model":"gpt-4o"`, status: 400, code: "invalid_request"},
		{name: "encoded body", path: "/v1/chat/completions", token: clientToken, body: plain, header: http.Header{"Content-Encoding": {"gzip"}}, status: 400, code: "invalid_request"},
		{name: "wrong model in the path", method: "GET", path: "/v1/models/o1", token: clientToken, status: 403, code: "model_not_allowed"},
		{name: "too large", path: "/v1/chat/completions", token: clientToken, body: strings.Repeat("x", 2<<20), status: 413, code: "request_too_large"},
		{name: "unknown path", path: "/v1/nothing", token: clientToken, body: "{}", status: 404, code: "unknown_endpoint"},
		{name: "unknown method", method: "DELETE", path: "/v1/chat/completions", token: clientToken, status: 404, code: "unknown_endpoint"},
		{name: "elsewhere", method: "GET", path: "/v2/models", token: clientToken, status: 404, code: "unknown_endpoint"},
		{name: "administration", method: "GET", path: "/v1/organization/users", token: clientToken, status: 403, code: "endpoint_not_allowed"},
		{name: "minting", path: "/v1/realtime/client_secrets", token: clientToken, body: "{}", status: 403, code: "endpoint_not_allowed"},
		{name: "what uses tokens unseen", path: "/v1/batches", token: clientToken, body: `{"input_file_id":"file-1"}`, status: 403, code: "endpoint_not_allowed"},
		{name: "administration", method: "GET", path: "/v1/organization/costs", token: clientToken, status: 403, code: "endpoint_not_allowed"},
		{name: "minting", path: "/v1/realtime/client_secrets", token: clientToken, body: "{}", status: 403, code: "endpoint_not_allowed"},
		{name: "stored object", path: "/v1/responses", token: clientToken, body: `{"model":"gpt-4o","input":"x","previous_response_id":"resp_1"}`, status: 404, code: "not_found"},
		{name: "dot segments", method: "GET", path: "/v1/models/../organization/users", token: clientToken, status: 400, code: "invalid_request"},
		{name: "encoded dots", method: "GET", path: "/v1/models/%2e%2e/organization", token: clientToken, status: 400, code: "invalid_request"},
		{name: "escape in a literal", path: "/v1/chat/%63ompletions", token: clientToken, body: plain, status: 400, code: "invalid_request"},
		{name: "backslash", method: "GET", path: `/v1/models/a%5cb`, token: clientToken, status: 400, code: "invalid_request"},
		{name: "Connection names Authorization", path: "/v1/chat/completions", token: clientToken, body: plain, header: http.Header{"Connection": {"close, authorization"}}, status: 400, code: "invalid_request"},
		{name: "two Authorization headers", path: "/v1/chat/completions", body: plain, header: http.Header{"Authorization": {"Bearer " + clientToken, "Bearer x"}}, status: 400, code: "invalid_request"},
		{name: "token in the query", method: "GET", path: "/v1/models?api_key=" + clientToken, status: 401, code: "invalid_api_key"},
		{name: "management without a token", method: "GET", path: "/api/stats", status: 401, code: "invalid_api_key"},
		{name: "management with a client's token", method: "GET", path: "/api/stats", token: clientToken, status: 401, code: "invalid_api_key"},
		{name: "metrics without a token", method: "GET", path: "/metrics", status: 401, code: "invalid_api_key"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.method == "" {
				c.method = "POST"
			}
			req, err := http.NewRequestWithContext(t.Context(), c.method, r.url+c.path, strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			for name, values := range c.header {
				req.Header[name] = values
			}
			a := r.send(t, req, c.token)
			if a.status != c.status || a.code() != c.code {
				t.Errorf("%d %s, want %d %s", a.status, a.body, c.status, c.code)
			}
			if a.header.Get("X-Proxy-Request-Id") == "" {
				t.Error("no request id of ours")
			}
		})
	}
	if q := mock.Requests(); len(q) > 0 {
		t.Errorf("%d requests reached the upstream, the first: %s %s", len(q), q[0].Method, q[0].Path)
	}
}

// Requests that no client library sends, as bytes on a connection.
func TestHostileBytes(t *testing.T) {
	mock, url := upstream(t)
	r := start(t, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEY": keyNumber(1)})
	const head = "POST /v1/chat/completions HTTP/1.1\r\nHost: proxy\r\nContent-Type: application/json\r\n"
	auth := "Authorization: Bearer " + keyNumber(1) + "\r\n"
	for name, raw := range map[string]string{
		"two lengths":           head + auth + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"two lengths, reversed": head + auth + "transfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n0\r\n\r\n",
		"two content lengths":   head + auth + "Content-Length: 4\r\nContent-Length: 5\r\n\r\n{}{}",
		"absolute form":         strings.Replace(head, "POST /v1", "POST http://elsewhere.test/v1", 1) + auth + "Content-Length: 2\r\n\r\n{}",
		"dot segments":          strings.Replace(head, "/v1/chat", "/v1/models/../chat", 1) + auth + "Content-Length: 2\r\n\r\n{}",
		"a control byte":        strings.Replace(head, "/v1/chat", "/v1/chat%00", 1) + auth + "Content-Length: 2\r\n\r\n{}",
		"a negative length":     head + auth + "Content-Length: -1\r\n\r\n",
		"a space before colon":  head + "Authorization : Bearer " + keyNumber(1) + "\r\nContent-Length: 2\r\n\r\n{}",
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", r.Addr())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			io.WriteString(conn, raw)
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if resp.StatusCode != 400 {
				t.Errorf("%s, want 400", resp.Status)
			}
		})
	}
	if n := len(mock.Requests()); n > 0 {
		t.Errorf("%d of them reached the upstream", n)
	}
}

func TestClientRate(t *testing.T) {
	_, url := upstream(t)
	r := start(t, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEY": keyNumber(1),
		"CLIENT_TOKENS": fmt.Sprintf(`[{"id":"team","token":%q,"rpm":2,"burst":5}]`, clientToken)})
	admitted := 0
	for _, a := range crowd(10, 40, func(int) answer { return r.post(t, "/v1/chat/completions", clientToken, plain) }) {
		switch a.status {
		case 200:
			admitted++
			if a.header.Get("X-Ratelimit-Limit-Requests") == "" || a.header.Get("X-Ratelimit-Remaining-Requests") == "" {
				t.Error("no rate limit headers of ours")
			}
		case 429:
			if a.code() != "rate_limit_exceeded" || a.header.Get("Retry-After") == "" {
				t.Errorf("%s, Retry-After %q", a.body, a.header.Get("Retry-After"))
			}
		default:
			t.Errorf("%d %s", a.status, a.body)
		}
	}
	if admitted < 5 || admitted > 6 { // 2 a minute: at most one comes back while this runs
		t.Errorf("%d admitted, want 5", admitted)
	}
}

// Guessing tokens is slowed down; a valid token from the same address is not.
func TestGuessingTokens(t *testing.T) {
	_, url := upstream(t)
	r := start(t, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEY": keyNumber(1)})
	seen := map[int]int{}
	for i := range 60 {
		seen[r.get(t, "/v1/models", fmt.Sprintf("sk-test-guess-%d", i)).status]++
	}
	if seen[401] != 30 || seen[429] != 30 {
		t.Errorf("answers %v, want 30 times 401, then 429", seen)
	}
	if a := r.get(t, "/v1/models", keyNumber(1)); a.status != 200 {
		t.Errorf("a valid token waits for the guesses: %d", a.status)
	}
}

func TestCORS(t *testing.T) {
	_, url := upstream(t)
	r := start(t, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEY": keyNumber(1), "CORS_ORIGINS": "https://app.example"})
	ask := func(method, origin string) answer {
		req, _ := http.NewRequestWithContext(t.Context(), method, r.url+"/v1/models", nil)
		req.Header.Set("Origin", origin)
		if method == "OPTIONS" {
			req.Header.Set("Access-Control-Request-Method", "GET")
			req.Header.Set("Access-Control-Request-Headers", "authorization, x-stainless-os")
		}
		return r.send(t, req, keyNumber(1))
	}
	if a := ask("OPTIONS", "https://app.example"); a.status != 204 || a.header.Get("Access-Control-Allow-Origin") != "https://app.example" ||
		a.header.Get("Access-Control-Allow-Headers") != "authorization, x-stainless-os" {
		t.Errorf("preflight: %d %v", a.status, a.header)
	}
	if a := ask("GET", "https://app.example"); a.status != 200 || a.header.Get("Access-Control-Allow-Origin") != "https://app.example" {
		t.Errorf("%d %v", a.status, a.header)
	}
	if a := ask("GET", "https://evil.example"); a.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("a foreign origin is allowed: %v", a.header)
	}
	if a := ask("GET", "https://app.example"); a.header.Get("Access-Control-Allow-Credentials") != "" {
		t.Error("credentials are allowed")
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	mock, url := upstream(t)
	r := start(t, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEY": keyNumber(1)})
	r.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	mock.Fault(mockopenai.Fault{Key: "*", Kind: "redirect"})
	if a := r.chat(t, plain); a.status != 302 || a.header.Get("Location") == "" {
		t.Errorf("%d %v", a.status, a.header)
	}
}
