package trace_test

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/slim/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/slim/otlp/common/v1"
	otlp "go.opentelemetry.io/proto/slim/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"openai-api-proxy/pkg/app"
	"openai-api-proxy/pkg/config"
	"openai-api-proxy/pkg/mockopenai"
)

const (
	keyA       = "sk-test-trace-a-000000000001"
	keyB       = "sk-test-trace-b-000000000001"
	token      = "sk-test-trace-client-00000001"
	adminToken = "sk-test-trace-admin-000000001"
	prompt     = "a prompt that is nobody's business"
)

// receiver is an OTLP collector over HTTP.
type receiver struct {
	url string

	mu    sync.Mutex // guards what follows
	raw   []byte     // all that came
	spans []*otlp.Span
	about []*common.KeyValue
	pass  string // the caller's x-pass
	deaf  bool   // answers 400
	busy  int    // answers 503 so often
	picky int64  // rejects so many spans of each batch
}

func receive(t testing.TB) *receiver {
	r := new(receiver)
	s := httptest.NewServer(r)
	t.Cleanup(s.Close)
	r.url = s.URL
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	var got collector.ExportTraceServiceRequest
	if err == nil {
		err = proto.Unmarshal(body, &got)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil || r.deaf || req.URL.Path != "/v1/traces" {
		http.Error(w, "no", http.StatusBadRequest)
		return
	}
	if r.busy > 0 {
		r.busy--
		http.Error(w, "later", http.StatusServiceUnavailable)
		return
	}
	r.pass = req.Header.Get("X-Pass")
	r.raw = append(r.raw, body...)
	for _, rs := range got.ResourceSpans {
		r.about = rs.Resource.Attributes
		for _, ss := range rs.ScopeSpans {
			r.spans = append(r.spans, ss.Spans...)
		}
	}
	answer, _ := proto.Marshal(&collector.ExportTraceServiceResponse{
		PartialSuccess: &collector.ExportTracePartialSuccess{RejectedSpans: r.picky}})
	w.Header().Set("Content-Type", "application/x-protobuf")
	w.Write(answer)
}

// all are the spans that came, the earliest first, those above before those below.
func (r *receiver) all() []*otlp.Span {
	r.mu.Lock()
	defer r.mu.Unlock()
	spans := slices.Clone(r.spans)
	slices.SortStableFunc(spans, func(a, b *otlp.Span) int {
		if a.StartTimeUnixNano != b.StartTimeUnixNano {
			return int(int64(a.StartTimeUnixNano) - int64(b.StartTimeUnixNano))
		}
		return int(int64(b.EndTimeUnixNano) - int64(a.EndTimeUnixNano))
	})
	return spans
}

// said are a span's attributes as text.
func said(all []*common.KeyValue) map[string]string {
	m := map[string]string{}
	for _, kv := range all {
		switch v := kv.Value.Value.(type) {
		case *common.AnyValue_StringValue:
			m[kv.Key] = v.StringValue
		case *common.AnyValue_IntValue:
			m[kv.Key] = fmt.Sprint(v.IntValue)
		case *common.AnyValue_DoubleValue:
			m[kv.Key] = fmt.Sprint(v.DoubleValue)
		case *common.AnyValue_BoolValue:
			m[kv.Key] = fmt.Sprint(v.BoolValue)
		}
	}
	return m
}

// upstream is a mock and where it is.
type upstream struct {
	*mockopenai.Server
	url string
}

// start runs a proxy with two keys in front of a mock; it tells the collector at the endpoint.
func start(t testing.TB, endpoint string, log io.Writer) (*app.App, *upstream) {
	t.Helper()
	mock := mockopenai.New()
	s := httptest.NewServer(mock)
	t.Cleanup(func() { mock.Close(); s.CloseClientConnections(); s.Close() })
	env := map[string]string{"LISTEN_ADDR": "127.0.0.1:0", "DATA_DIR": "", "ADMIN_TOKEN": adminToken, "DRAIN_TIMEOUT": "2s",
		"OPENAI_BASE_URL": s.URL, "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_EXPORTER_OTLP_HEADERS": "x-pass=let%20me%3Din, x-other=1",
		"OPENAI_API_KEYS": fmt.Sprintf(`[{"id":"a","key":%q},{"id":"b","key":%q}]`, keyA, keyB),
		"CLIENT_TOKENS":   fmt.Sprintf(`[{"id":"team","token":%q}]`, token)}
	cfg, err := config.Load(config.Source{Env: func(name string) (string, bool) { v, ok := env[name]; return v, ok },
		ReadFile: func(string) ([]byte, error) { return nil, os.ErrNotExist }})
	if err != nil {
		t.Fatal(err)
	}
	a, err := app.Start(t.Context(), cfg, app.Options{Version: "v1.2.3", Log: slog.New(slog.NewJSONHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Stop() })
	return a, &upstream{mock, s.URL}
}

func ask(t testing.TB, a *app.App, token, parent, model string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+a.Addr()+"/v1/chat/completions",
		strings.NewReader(fmt.Sprintf(`{"model":"%s","stream":true,"messages":[{"role":"user","content":%q}]}`, model, prompt)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	if parent != "" {
		req.Header.Set("Traceparent", parent)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

// A request that needed two keys is a span of the caller's trace, with the model's operation below it and both attempts
// below that; and nothing in it is a secret or a prompt.
func TestRequest(t *testing.T) {
	r := receive(t)
	a, mock := start(t, r.url, io.Discard)
	mock.Fault(mockopenai.Fault{Key: "*", Kind: "429", Count: 1})
	if status := ask(t, a, token, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "gpt-4o-mini"); status != 200 {
		t.Fatal(status)
	}
	if err := a.Stop(); err != nil { // delivers
		t.Fatal(err)
	}
	spans := r.all()
	if len(spans) != 4 {
		t.Fatalf("%d spans: %v", len(spans), spans)
	}
	whole, chat, first, second := spans[0], spans[1], spans[2], spans[3]
	if fmt.Sprintf("%x", whole.TraceId) != "0af7651916cd43dd8448eb211c80319c" || fmt.Sprintf("%x", whole.ParentSpanId) != "b7ad6b7169203331" {
		t.Errorf("it is no part of the caller's trace: %v", whole)
	}
	for above, below := range map[*otlp.Span][]*otlp.Span{whole: {chat}, chat: {first, second}} {
		for _, s := range below {
			if string(s.ParentSpanId) != string(above.SpanId) || string(s.TraceId) != string(above.TraceId) {
				t.Errorf("%s is not below %s", s.Name, above.Name)
			}
			if s.StartTimeUnixNano < above.StartTimeUnixNano || s.EndTimeUnixNano > above.EndTimeUnixNano {
				t.Errorf("%s is outside of %s", s.Name, above.Name)
			}
		}
	}
	host, port, _ := strings.Cut(strings.TrimPrefix(mock.url, "http://"), ":")
	check(t, whole, "POST /v1/chat/completions", otlp.Span_SPAN_KIND_SERVER, map[string]string{"http.route": "/v1/chat/completions",
		"http.response.status_code": "200", "oap.client": "team", "oap.attempts": "2", "error.type": ""})
	check(t, chat, "chat gpt-4o-mini", otlp.Span_SPAN_KIND_CLIENT, map[string]string{"gen_ai.operation.name": "chat",
		"gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o-mini", "gen_ai.request.stream": "true",
		"server.address": host, "server.port": port, "oap.usage.basis": "exact", "error.type": ""})
	check(t, first, "POST", otlp.Span_SPAN_KIND_CLIENT, map[string]string{"http.response.status_code": "429", "error.type": "throttled",
		"http.request.resend_count": ""})
	check(t, second, "POST", otlp.Span_SPAN_KIND_CLIENT, map[string]string{"http.response.status_code": "200", "error.type": "",
		"http.request.resend_count": "1"})
	if m := said(chat.Attributes); m["gen_ai.usage.input_tokens"] == "0" || m["gen_ai.usage.output_tokens"] == "0" {
		t.Errorf("tokens: %v", m)
	}
	if m := said(r.about); m["service.name"] != "openai-api-proxy" || m["service.version"] != "v1.2.3" || m["service.instance.id"] == "" {
		t.Errorf("it says of itself %v", m)
	}
	if r.pass != "let me=in" {
		t.Errorf("the collector was shown %q", r.pass)
	}
	for _, secret := range []string{keyA, keyB, token, adminToken, prompt} {
		if strings.Contains(string(r.raw), secret[8:]) {
			t.Errorf("a span has %s", secret)
		}
	}
}

func check(t *testing.T, s *otlp.Span, name string, kind otlp.Span_SpanKind, want map[string]string) {
	t.Helper()
	if s.Name != name || s.Kind != kind {
		t.Errorf("%s, %s; want %s, %s", s.Name, s.Kind, name, kind)
	}
	got := said(s.Attributes)
	for k, v := range want {
		if got[k] != v {
			t.Errorf("%s: %s is %q, want %q", name, k, got[k], v)
		}
	}
	if failed := s.Status.GetCode() == otlp.Status_STATUS_CODE_ERROR; failed != (got["error.type"] != "") {
		t.Errorf("%s: status %v with error.type %q", name, s.Status, got["error.type"])
	}
}

// A stranger at the door makes no span of an operation; a trace that the caller does not sample makes none at all.
func TestWhatIsNotTold(t *testing.T) {
	r := receive(t)
	a, _ := start(t, r.url, io.Discard)
	ask(t, a, token, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00", "gpt-4o-mini")
	ask(t, a, "sk-test-nobody-0000000000001", "", "gpt-4o-mini")
	ask(t, a, token, "", "gpt-4o-mini")
	if err := a.Stop(); err != nil {
		t.Fatal(err)
	}
	if spans := r.all(); len(spans) != 3 {
		t.Errorf("%d spans, want those of one request with one attempt: %v", len(spans), spans)
	}
}

// A collector that is busy is asked again; what it rejects of a batch is counted.
func TestCollectorBusy(t *testing.T) {
	r := receive(t)
	r.busy, r.picky = 1, 2
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "100") // milliseconds
	var log output
	a, _ := start(t, r.url, &log)
	ask(t, a, token, "", "gpt-4o-mini")
	if !until(20*time.Second, func() bool { return strings.Contains(metrics(t, a), "oap_trace_spans_lost_total 2\n") }) {
		t.Error("what is rejected is not counted")
	}
	if err := a.Stop(); err != nil {
		t.Fatal(err)
	}
	if spans := r.all(); len(spans) != 3 {
		t.Errorf("%d spans", len(spans))
	}
}

// A collector that takes nothing, or is not there, holds nobody up; what is lost is counted, and told once.
func TestCollectorAway(t *testing.T) {
	r := receive(t)
	r.deaf = true
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "100") // milliseconds
	var log output
	a, _ := start(t, r.url, &log)
	for range 3 {
		if status := ask(t, a, token, "", "gpt-4o-mini"); status != 200 {
			t.Fatal(status)
		}
	}
	if !until(20*time.Second, func() bool { return strings.Contains(metrics(t, a), "oap_trace_spans_lost_total 9\n") }) {
		t.Error("what is lost is not counted")
	}
	if err := a.Stop(); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(log.String(), "traces are lost"); n != 1 {
		t.Errorf("told %d times: %s", n, log.String())
	}
}

func metrics(t *testing.T, a *app.App) string {
	t.Helper()
	req, _ := http.NewRequestWithContext(t.Context(), "GET", "http://"+a.Addr()+"/metrics", nil)
	req.Header.Set("Authorization", "Bearer "+adminToken)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	return string(text)
}

func until(most time.Duration, holds func() bool) bool {
	for end := time.Now().Add(most); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if holds() {
			return true
		}
	}
	return false
}

// output is a log that may be read while it is written.
type output struct {
	mu sync.Mutex // guards b
	b  strings.Builder
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// BenchmarkRequest is a streamed request the whole way, without traces and with them.
func BenchmarkRequest(b *testing.B) {
	for _, c := range []struct{ name, endpoint string }{{"off", ""}, {"on", receive(b).url}} {
		b.Run(c.name, func(b *testing.B) {
			a, _ := start(b, c.endpoint, io.Discard)
			b.ReportAllocs()
			for b.Loop() {
				ask(b, a, token, "", "gpt-4o-mini")
			}
		})
	}
}
