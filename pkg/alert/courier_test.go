package alert

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state/memstate"
)

// sender is a Watch that only sends.
func sender(t *testing.T, webhook proxy.Secret) (*Watch, *lockedBuffer) {
	t.Helper()
	f := &facts{settings: Settings{Webhook: webhook}}
	o, log := f.options(memstate.New(), "r1")
	w := newWatch(o)
	t.Cleanup(func() { w.Close() })
	return w, log
}

// results is what became of alerts.
func (w *Watch) results(result string) int { return value(w.courier.results.WithLabelValues(result)) }

func value(c prometheus.Collector) (n int) {
	reg := prometheus.NewRegistry()
	reg.MustRegister(c)
	families, _ := reg.Gather()
	for _, f := range families {
		for _, m := range f.GetMetric() {
			n += int(m.GetCounter().GetValue())
		}
	}
	return n
}

func made(i int) Alert {
	return Alert{ID: fmt.Sprint(i), Event: PoolEmpty, Text: "made up", Key: fmt.Sprint(i)}
}

// A receiver that was down gets the alert when it is up, and only once.
func TestReceiverThatComesBack(t *testing.T) {
	hook := newReceiver(t)
	hook.answer = func(call int, w http.ResponseWriter, _ *http.Request) {
		if call < tries {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}
	w, log := sender(t, hook.url())
	w.courier.send(made(1))
	hook.hears(t, "pool_empty 1")
	if hook.count() != tries || w.results("delivered") != 1 || w.results("failed") != 0 {
		t.Errorf("%d calls, %d delivered, %d failed\n%s", hook.count(), w.results("delivered"), w.results("failed"), log)
	}
}

// What a receiver does that does not take alerts, and how often it is called then.
func TestReceiversThatRefuse(t *testing.T) {
	var elsewhere atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	for _, c := range []struct {
		what   string
		answer func(w http.ResponseWriter, r *http.Request)
		calls  int
	}{
		{"500", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }, tries},
		{"429", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(429) }, tries},
		{"404", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }, 1},
		{"redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
		}, 1},
		{"cut", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, tries},
		{"garbage", func(w http.ResponseWriter, _ *http.Request) {
			conn, _, _ := w.(*recorder).ResponseWriter.(http.Hijacker).Hijack()
			fmt.Fprintf(conn, "HTTP/1.1 999999 %s\r\n\r\n", token)
			conn.Close()
		}, tries},
	} {
		t.Run(c.what, func(t *testing.T) {
			hook := newReceiver(t)
			hook.answer = func(_ int, w http.ResponseWriter, r *http.Request) {
				w.(*recorder).status = 500 // nothing is heard
				c.answer(w, r)
			}
			w, log := sender(t, hook.url())
			w.courier.send(made(1))
			if !within(10*time.Second, func() bool { return w.results("failed") == 1 }) {
				t.Fatal("it does not fail")
			}
			if hook.count() != c.calls || elsewhere.Load() != 0 {
				t.Errorf("%d calls, want %d; %d elsewhere", hook.count(), c.calls, elsewhere.Load())
			}
			if text := log.String(); strings.Contains(text, "/hooks/") || !strings.Contains(text, `"alerts":["1"]`) {
				t.Errorf("the log says %s", text)
			}
		})
	}
}

// A slow receiver holds up nobody who tells, and what does not fit is counted.
func TestSlowReceiver(t *testing.T) {
	hook, slow := newReceiver(t), make(chan struct{})
	hook.answer = func(int, http.ResponseWriter, *http.Request) { <-slow }
	w, _ := sender(t, hook.url())
	w.courier.send(made(0))
	within(10*time.Second, func() bool { return hook.count() == 1 })
	for i := range mostWaiting + 10 {
		w.courier.send(made(i + 1))
	}
	if n := w.results("dropped"); n != 10 {
		t.Errorf("%d dropped", n)
	}
	close(slow)
	if !within(20*time.Second, func() bool { return w.results("delivered") == mostWaiting+1 }) {
		t.Errorf("%d delivered", w.results("delivered"))
	}
	if n := hook.count(); n > mostWaiting/mostInBody+2 {
		t.Errorf("%d calls", n)
	}
}

// A call ends by itself when there is no answer.
func TestReceiverThatIsSilent(t *testing.T) {
	hook, silent := newReceiver(t), make(chan struct{})
	hook.answer = func(int, http.ResponseWriter, *http.Request) { <-silent }
	p := newPost()
	p.client.Timeout = 50 * time.Millisecond
	defer p.close()
	if err := p.call(t.Context(), hook.url(), []Alert{made(1)}); err == nil || strings.Contains(err.Error(), token) {
		t.Errorf("%v", err)
	}
	close(silent)
}

// What waits when the proxy stops is sent once more; a receiver that does not answer cannot hold it up.
func TestEndOfACourier(t *testing.T) {
	hook := newReceiver(t)
	hook.answer = func(call int, w http.ResponseWriter, _ *http.Request) {
		if call == 1 {
			w.WriteHeader(500)
		}
	}
	f := &facts{settings: Settings{Webhook: hook.url()}}
	o, _ := f.options(memstate.New(), "r1")
	o.Backoff = time.Hour
	w := newWatch(o)
	w.courier.send(made(1))
	within(10*time.Second, func() bool { return hook.count() == 1 })
	w.courier.send(made(2))
	w.Close()
	hook.hears(t, "pool_empty 1", "pool_empty 2")
}

func TestAddressesThatAreNotCalled(t *testing.T) {
	p := newPost()
	defer p.close()
	for _, url := range []string{"http://169.254.169.254/" + token, "http://[fe80::1%25lo]/" + token, "http://0.0.0.0:1/" + token, "http://224.0.0.1/" + token} {
		err := p.call(t.Context(), proxy.NewSecret(url), []Alert{made(1)})
		if err == nil || !strings.Contains(err.Error(), "is not called") || strings.Contains(err.Error(), token) {
			t.Errorf("%s: %v", url, err)
		}
	}
	for _, url := range []string{"", "http://%zz/" + token, "://" + token} {
		if err := p.call(t.Context(), proxy.NewSecret(url), nil); err == nil || strings.Contains(err.Error(), token) {
			t.Errorf("%q: %v", url, err)
		}
	}
	refused := httptest.NewServer(nil)
	refused.Close()
	if err := p.call(t.Context(), proxy.NewSecret(refused.URL+"/"+token), nil); err == nil || strings.Contains(err.Error(), token) {
		t.Errorf("%v", err)
	}
}

func TestTryWebhook(t *testing.T) {
	w, _ := sender(t, proxy.Secret{})
	if err := w.TryWebhook(t.Context()); !errors.Is(err, ErrNoWebhook) {
		t.Errorf("without one: %v", err)
	}
	w.courier.send(made(1)) // goes nowhere
	hook := newReceiver(t)
	w, _ = sender(t, hook.url())
	if err := w.TryWebhook(t.Context()); err != nil {
		t.Error(err)
	}
	hook.hears(t, "test ")
	hook.answer = func(_ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(403) }
	if err := w.TryWebhook(t.Context()); err == nil || err.Error() != "it answers 403" {
		t.Error(err)
	}
	if value(w.told) != 0 {
		t.Error("a test counts as an alert")
	}
}
