package mockopenai_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"
	"go.uber.org/goleak"

	"openai-api-proxy/pkg/mockopenai"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testKey = "sk-test-one-abcd"

// upstream is a mock behind a real listener, with a client of its own.
type upstream struct {
	*mockopenai.Server
	t      *testing.T
	url    string
	client *http.Client
}

func start(t *testing.T, opts ...mockopenai.Option) *upstream {
	t.Helper()
	mock := mockopenai.New(opts...)
	server := httptest.NewServer(mock)
	transport := &http.Transport{}
	t.Cleanup(func() {
		mock.Close()
		transport.CloseIdleConnections()
		server.Close()
	})
	noFollow := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	client := &http.Client{Transport: transport, CheckRedirect: noFollow}
	return &upstream{Server: mock, t: t, url: server.URL, client: client}
}

// few are settings with short streams.
func few(chunks int) mockopenai.Option {
	set := mockopenai.DefaultSettings()
	set.Chunks = chunks
	return mockopenai.WithSettings(set)
}

// answer is a whole answer, or as much of it as came before err.
type answer struct {
	*http.Response
	body []byte
	err  error
}

func (a answer) get(path string) gjson.Result { return gjson.GetBytes(a.body, path) }

// events are the data of the server-sent events that came, and names their names where they have some.
func (a answer) events() (data, names []string) {
	for line := range strings.Lines(string(a.body)) {
		if s, ok := strings.CutPrefix(line, "data: "); ok {
			data = append(data, strings.TrimSpace(s))
		}
		if s, ok := strings.CutPrefix(line, "event: "); ok {
			names = append(names, strings.TrimSpace(s))
		}
	}
	return data, names
}

func (u *upstream) request(method, path, body string) *http.Request {
	u.t.Helper()
	req, err := http.NewRequestWithContext(u.t.Context(), method, u.url+path, strings.NewReader(body))
	if err != nil {
		u.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+testKey)
	req.Header.Set("Content-Type", "application/json")
	return req
}

// try sends a request that may fail at any point.
func (u *upstream) try(req *http.Request) answer {
	resp, err := u.client.Do(req)
	if err != nil {
		return answer{err: err}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return answer{resp, body, err}
}

// do sends a request that must be answered wholly, with this status.
func (u *upstream) do(req *http.Request, status int) answer {
	u.t.Helper()
	a := u.try(req)
	if a.err != nil {
		u.t.Fatalf("%s %s: %v", req.Method, req.URL.Path, a.err)
	}
	if a.StatusCode != status {
		u.t.Fatalf("%s %s: status %d, want %d: %s", req.Method, req.URL.Path, a.StatusCode, status, a.body)
	}
	return a
}

func (u *upstream) post(path, body string) answer {
	u.t.Helper()
	return u.do(u.request("POST", path, body), 200)
}

func (u *upstream) get(path string) answer {
	u.t.Helper()
	return u.do(u.request("GET", path, ""), 200)
}

// eventually waits for what another goroutine is about to do.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never happened: %s", what)
		}
	}
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// wellFormed checks that all data of a stream is JSON, but for [DONE].
func wellFormed(t *testing.T, data []string) {
	t.Helper()
	for _, d := range data {
		if d != "[DONE]" && !gjson.Valid(d) {
			t.Errorf("not JSON: %s", d)
		}
	}
}

const (
	chatPath = "/v1/chat/completions"
	plain    = `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}]}`
	streamed = `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}],"stream":true}`
	counted  = `{"model":"gpt-4o","messages":[],"stream":true,"stream_options":{"include_usage":true}}`
)

func TestKeyIsNeeded(t *testing.T) {
	u := start(t, mockopenai.WithKeyPrefix("sk-test-"))
	for key, shown := range map[string]string{
		"sk-wrong-key-of-someone-wxyz": "Incorrect API key provided: sk-wrong***wxyz",
		"short":                        "Incorrect API key provided: ***",
		"":                             "Incorrect API key provided: ***",
	} {
		req := u.request("POST", chatPath, plain)
		req.Header.Set("Authorization", "Bearer "+key)
		a := u.do(req, 401)
		equal(t, "code", a.get("error.code").String(), "invalid_api_key")
		if !strings.HasPrefix(a.get("error.message").String(), shown) {
			t.Errorf("message %q does not begin with %q", a.get("error.message"), shown)
		}
	}
	req := u.request("POST", chatPath, plain)
	req.Header.Set("Authorization", "Basic "+testKey)
	u.do(req, 401)
	u.post(chatPath, plain)
	equal(t, "keys counted", len(u.Stats()), 1)
}

func TestEveryAnswerHasTheUsualHeaders(t *testing.T) {
	u, other := start(t), start(t)
	seen := map[string]bool{}
	for _, from := range []*upstream{u, u, other} {
		a := from.post(chatPath, plain)
		seen[a.Header.Get("X-Request-Id")] = true
		for _, name := range []string{
			"Openai-Processing-Ms", "Openai-Organization", "X-Ratelimit-Limit-Requests", "X-Ratelimit-Remaining-Tokens",
		} {
			if a.Header.Get(name) == "" {
				t.Errorf("no %s", name)
			}
		}
		equal(t, "cookies", len(a.Cookies()), 0)
	}
	if len(seen) != 3 || seen[""] {
		t.Errorf("request ids are not unique: %v", seen)
	}
	u.Configure(func(set *mockopenai.Settings) { set.SetCookie = true })
	equal(t, "cookies", len(u.post(chatPath, plain).Cookies()), 1)
}

func TestRequestsThatMakeNoSense(t *testing.T) {
	u := start(t)
	for _, c := range []struct {
		method, path, body string
		status             int
		code               string
	}{
		{"POST", "/v1/nothing", "{}", 404, ""},
		{"GET", "/v1/embeddings", "", 404, ""},
		{"DELETE", "/v1/models/gpt-4o", "", 404, ""},
		{"POST", chatPath, `{"model":`, 400, ""},
		{"POST", chatPath, `{"messages":[]}`, 400, ""},
		{"POST", chatPath, `{"model":"missing"}`, 404, "model_not_found"},
		{"POST", "/v1/responses", `{"model":"missing"}`, 404, "model_not_found"},
		{"GET", "/v1/models/missing", "", 404, "model_not_found"},
		{"GET", "/v1/models/unheard-of", "", 404, "model_not_found"},
		{"POST", "/v1/embeddings", `{"model":"m","input":[]}`, 400, ""},
		{"POST", "/v1/embeddings", `{"model":"m","input":"a","dimensions":5000}`, 400, ""},
		{"POST", "/v1/moderations", `{}`, 400, ""},
		{"POST", "/v1/images/generations", `{"prompt":"a","n":11}`, 400, ""},
	} {
		a := u.do(u.request(c.method, c.path, c.body), c.status)
		equal(t, c.method+" "+c.path+" "+c.body, a.get("error.code").String(), c.code)
		equal(t, "type", a.get("error.type").String(), "invalid_request_error")
	}
}

func TestManyServersDoNotShareState(t *testing.T) {
	a, b := start(t), start(t)
	a.Fault(mockopenai.Fault{Key: "*", Kind: "500"})
	b.post(chatPath, plain)
	equal(t, "requests seen by a", len(a.Requests()), 0)
	equal(t, "requests seen by b", len(b.Requests()), 1)
}

func TestCloseEndsWhatHangs(t *testing.T) {
	u := start(t)
	u.Fault(mockopenai.Fault{Key: "*", Kind: "hang"})
	ended := make(chan error, 1)
	go func() { ended <- u.try(u.request("POST", chatPath, plain)).err }()
	eventually(t, "the request hangs", func() bool { return u.Stats()[testKey].InFlight == 1 })
	u.Close()
	u.Close()
	if err := <-ended; err == nil {
		t.Error("a request that hung was answered")
	}
	equal(t, "aborted", u.Stats()[testKey].Aborted, 0)
}

func TestLargeBodiesArePeekedAt(t *testing.T) {
	u := start(t, few(2))
	filler := strings.Repeat("x", 1<<20)
	for _, body := range []string{
		`{"model": "gpt-4.1", "stream": true, "stream_options": {"include_usage": true}, "messages": ["` + filler + `"]}`,
		`{"messages": ["` + filler + `"], "stream_options": {"include_usage": true}, "stream": true, "model": "gpt-4.1"}`,
	} {
		data, _ := u.post(chatPath, body).events()
		wellFormed(t, data)
		equal(t, "events", len(data), 6)
		equal(t, "model", gjson.Get(data[0], "model").String(), "gpt-4.1")
		equal(t, "tokens", gjson.Get(data[4], "usage.completion_tokens").Int(), 2)
	}
	a := u.post(chatPath, `{"messages":["`+filler+`"]}`)
	equal(t, "model nobody saw", a.get("model").String(), "gpt-4o-mini")
	equal(t, "bytes in", u.Stats()[testKey].BytesIn > 3<<20, true)
}

// BenchmarkChat is what a plain completion costs beside net/http.
func BenchmarkChat(b *testing.B) {
	set := mockopenai.DefaultSettings()
	set.Requests = 0
	mock := mockopenai.New(mockopenai.WithSettings(set))
	defer mock.Close()
	req := httptest.NewRequest("POST", chatPath, nil)
	req.Header.Set("Authorization", "Bearer "+testKey)
	b.ReportAllocs()
	for b.Loop() {
		req.Body = io.NopCloser(bytes.NewReader([]byte(plain)))
		w := httptest.NewRecorder()
		if mock.ServeHTTP(w, req); w.Code != 200 {
			b.Fatal(w.Body)
		}
	}
}
