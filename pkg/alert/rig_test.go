package alert

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// token is what a URL of a webhook hides.
const token = "sk-test-webhook-0000000000000001"

// receiver is a webhook.
type receiver struct {
	*httptest.Server

	mu     sync.Mutex // guards the rest
	calls  int
	bodies []string
	heard  []Alert
	answer func(call int, w http.ResponseWriter, r *http.Request) // nil: 200
}

func newReceiver(t *testing.T) *receiver {
	r := new(receiver)
	r.Server = httptest.NewServer(r)
	t.Cleanup(func() { r.CloseClientConnections(); r.Close() })
	return r
}

func (r *receiver) url() proxy.Secret { return proxy.NewSecret(r.URL + "/hooks/" + token) }

// ServeHTTP hears what it answers with 200.
func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	text, _ := io.ReadAll(req.Body)
	r.mu.Lock()
	r.calls++
	call, answer := r.calls, r.answer
	r.bodies = append(r.bodies, string(text))
	r.mu.Unlock()
	if answer != nil {
		kept := &recorder{w, 200}
		if answer(call, kept, req); kept.status != 200 {
			return
		}
	}
	var got body
	if json.Unmarshal(text, &got) != nil || got.Text == "" || req.Header.Get("Content-Type") != "application/json" || req.Method != "POST" {
		w.WriteHeader(400)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.heard = append(r.heard, got.Alerts...)
}

type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) { r.status = status; r.ResponseWriter.WriteHeader(status) }

// events are those that were heard, of whom, sorted.
func (r *receiver) events() (all []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range r.heard {
		who := a.Client + a.Key + a.Account
		if a.Pool != nil {
			who = "pool " + *a.Pool
		}
		if a.Quota != nil {
			who += " " + a.Quota.Limit + " " + string(a.Quota.Share)
		}
		all = append(all, string(a.Event)+" "+who)
	}
	slices.Sort(all)
	return all
}

func (r *receiver) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.calls
}

// facts are what replicas see.
type facts struct {
	mu       sync.Mutex // guards the rest
	keys     []Key
	quotas   []Quota
	settings Settings
}

func (f *facts) set(change func(f *facts)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

// lockedBuffer is a log that may be read while it is written.
type lockedBuffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// options are those of a replica that sees the facts; nothing has to last.
func (f *facts) options(store state.Alerts, replica string) (Options, *lockedBuffer) {
	log := new(lockedBuffer)
	return Options{Store: store, Ready: func() bool { return true }, Replica: replica, Metrics: prometheus.NewRegistry(),
		Log: slog.New(slog.NewJSONHandler(log, nil)),
		Settings: func() Settings {
			f.mu.Lock()
			defer f.mu.Unlock()
			return f.settings
		},
		Keys: func() iter.Seq[Key] {
			f.mu.Lock()
			defer f.mu.Unlock()
			return slices.Values(slices.Clone(f.keys))
		},
		Quotas: func(context.Context) []Quota {
			f.mu.Lock()
			defer f.mu.Unlock()
			return slices.Clone(f.quotas)
		},
		Every: 10 * time.Millisecond, Lasts: 50 * time.Millisecond, Well: 100 * time.Millisecond, Backoff: 20 * time.Millisecond}, log
}

// within waits until the condition holds and reports whether it did.
func within(d time.Duration, holds func() bool) bool {
	for end := time.Now().Add(d); ; time.Sleep(5 * time.Millisecond) {
		if holds() {
			return true
		}
		if time.Now().After(end) {
			return false
		}
	}
}

// hears waits until the receiver has heard exactly these, and nothing else comes for a while.
func (r *receiver) hears(t *testing.T, want ...string) {
	t.Helper()
	slices.Sort(want)
	within(10*time.Second, func() bool { return len(r.events()) >= len(want) })
	time.Sleep(200 * time.Millisecond)
	if got := r.events(); !slices.Equal(got, want) {
		t.Errorf("heard\n%q, want\n%q", got, want)
	}
}

func tokens(client string, used, limit int64) Quota {
	now := time.Now()
	return Quota{Of: OfClient, ID: client, Limit: "tokens/day", Budget: proxy.Budget{Measure: proxy.Tokens, Limit: limit, Period: proxy.Day}, Used: used,
		Start: proxy.Day.Start(now), Resets: proxy.Day.End(now)}
}
