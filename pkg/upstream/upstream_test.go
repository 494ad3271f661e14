package upstream

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"openai-api-proxy/pkg/openai"
	"openai-api-proxy/pkg/proxy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testKey = "sk-test-upstream-0000000000000001"

var chat = openai.Operation{Method: "POST", Path: "/v1/chat/completions", Model: openai.ModelInJSON}

// rig is an upstream that answers with the handler, and a client of it.
type rig struct {
	*Client
	key      *proxy.Key
	call     *proxy.Call
	patience time.Duration
}

func newRig(t *testing.T, opts Options, h http.HandlerFunc) *rig {
	t.Helper()
	s := httptest.NewServer(h)
	if opts.IdleTimeout == 0 {
		opts.IdleTimeout = 10 * time.Second
	}
	if opts.WriteTimeout == 0 {
		opts.WriteTimeout = 10 * time.Second
	}
	c := New(opts)
	t.Cleanup(func() { c.Close(); s.CloseClientConnections(); s.Close() })
	body := []byte(`{"model":"gpt-4o"}`)
	return &rig{Client: c, patience: 10 * time.Second, key: &proxy.Key{ID: "k", Secret: proxy.NewSecret(testKey), Endpoint: s.URL, Organization: "org-ours"},
		call: &proxy.Call{Op: chat, Path: chat.Path, Header: http.Header{"Content-Type": {"application/json"}},
			Body: proxy.Body{Held: body, Length: int64(len(body))}}}
}

func (r *rig) do(t *testing.T) *Answer {
	t.Helper()
	a := r.Do(t.Context(), r.key, r.call, r.patience)
	t.Cleanup(a.Close)
	return a
}

func TestRequestThatGoesUpstream(t *testing.T) {
	var got *http.Request
	var body []byte
	r := newRig(t, Options{}, func(w http.ResponseWriter, req *http.Request) {
		got = req.Clone(context.Background())
		body, _ = io.ReadAll(req.Body)
	})
	r.call.Query = "a=1&b=%20"
	r.call.Header = http.Header{
		"Content-Type": {"application/json"}, "Authorization": {"Bearer sk-test-caller"}, "X-Api-Key": {"x"}, "Cookie": {"c=1"},
		"Openai-Organization": {"org-theirs"}, "Openai-Project": {"proj"}, "X-Forwarded-For": {"1.2.3.4"}, "Forwarded": {"for=1"},
		"X-Forwarded-Host": {"evil"}, "Connection": {"keep-alive, X-Private"}, "X-Private": {"1"}, "Te": {"trailers"},
		"Openai-Beta": {"assistants=v2"}, "X-Stainless-Lang": {"go"}, "User-Agent": {"sdk/1"}, "Accept-Encoding": {"br"},
	}
	if a := r.do(t); a.Verdict.Outcome != proxy.Served {
		t.Fatalf("verdict %+v", a.Verdict)
	}
	want := http.Header{"Authorization": {"Bearer " + testKey}, "Openai-Organization": {"org-ours"}, "Openai-Beta": {"assistants=v2"},
		"X-Stainless-Lang": {"go"}, "User-Agent": {"sdk/1"}, "Content-Type": {"application/json"}, "Content-Length": {"18"}}
	for name := range got.Header {
		if want.Get(name) != got.Header.Get(name) {
			t.Errorf("upstream saw %s: %q, want %q", name, got.Header.Get(name), want.Get(name))
		}
		want.Del(name)
	}
	if len(want) > 0 {
		t.Errorf("upstream did not see %v", want)
	}
	if got.URL.RawQuery != "a=1&b=%20" || string(body) != `{"model":"gpt-4o"}` {
		t.Errorf("upstream saw query %q and body %q", got.URL.RawQuery, body)
	}
}

func TestAnswerThatComesBack(t *testing.T) {
	r := newRig(t, Options{}, func(w http.ResponseWriter, req *http.Request) {
		h := w.Header()
		h.Set("Set-Cookie", "a=1")
		h.Set("Openai-Organization", "org-ours")
		h.Set("X-Ratelimit-Remaining-Requests", "1")
		h.Set("Access-Control-Allow-Origin", "https://theirs")
		h.Set("X-Request-Id", "req_up")
		h.Set("Content-Type", "application/json")
		io.WriteString(w, `{"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}`)
	})
	w := httptest.NewRecorder()
	d := r.do(t).Forward(w, &Forwarding{})
	if d.Verdict.Outcome != proxy.Served || d.Usage.Input != 3 || d.Usage.Output != 4 || d.Usage.Basis != openai.Exact {
		t.Errorf("delivered %+v", d)
	}
	for _, name := range []string{"Set-Cookie", "Openai-Organization", "X-Ratelimit-Remaining-Requests", "Access-Control-Allow-Origin"} {
		if v := w.Header().Get(name); v != "" {
			t.Errorf("the caller saw %s: %s", name, v)
		}
	}
	if w.Header().Get("X-Request-Id") != "req_up" {
		t.Error("the upstream's request id did not pass")
	}
}

func TestSecretsInFailuresAreMasked(t *testing.T) {
	for _, zipped := range []bool{false, true} {
		r := newRig(t, Options{Mask: Masker(func() []proxy.Secret { return []proxy.Secret{proxy.NewSecret(testKey)} })}, func(w http.ResponseWriter, req *http.Request) {
			body := []byte(`{"error":{"message":"bad key ` + testKey + `"}}`)
			if zipped {
				var b bytes.Buffer
				z := gzip.NewWriter(&b)
				z.Write(body)
				z.Close()
				body = b.Bytes()
				w.Header().Set("Content-Encoding", "gzip")
			}
			w.WriteHeader(400)
			w.Write(body)
		})
		w := httptest.NewRecorder()
		r.do(t).Forward(w, &Forwarding{})
		if got := w.Body.String(); got != `{"error":{"message":"bad key sk-...0001"}}` || w.Code != 400 {
			t.Errorf("zipped %v: %d %s", zipped, w.Code, got)
		}
	}
}

func TestNobodyListens(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	r := newRig(t, Options{}, nil)
	r.key.Endpoint = "http://" + l.Addr().String()
	if a := r.do(t); a.Verdict.Outcome != proxy.Unreachable || a.Answered() {
		t.Errorf("verdict %+v", a.Verdict)
	}
}

func TestSilenceBeforeHeaders(t *testing.T) {
	r := newRig(t, Options{}, func(w http.ResponseWriter, req *http.Request) {
		io.Copy(io.Discard, req.Body)
		<-req.Context().Done()
	})
	r.patience = 50 * time.Millisecond
	a := r.do(t)
	if a.Verdict.Outcome != proxy.NoAnswer || !TimedOut(a.Verdict.Err) {
		t.Errorf("verdict %+v", a.Verdict)
	}
}

// An upstream that takes the connection and never reads the body is as silent as one that reads it.
func TestBodyThatIsNeverRead(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r := newRig(t, Options{}, nil)
	r.patience = 100 * time.Millisecond
	r.key.Endpoint = "http://" + l.Addr().String()
	large := make([]byte, 64<<20) // more than the buffers of the connection hold
	r.call.Body = proxy.Body{Held: large, Length: int64(len(large))}
	a := r.do(t)
	if a.Verdict.Outcome != proxy.NoAnswer || !TimedOut(a.Verdict.Err) {
		t.Errorf("verdict %+v", a.Verdict)
	}
}

// A body that still comes from the caller may take longer than the wait for headers, which begins behind it.
func TestBodyThatComesSlowly(t *testing.T) {
	r := newRig(t, Options{}, func(w http.ResponseWriter, req *http.Request) {
		if io.Copy(io.Discard, req.Body); req.URL.Query().Has("hang") {
			<-req.Context().Done()
		}
	})
	r.patience = 2 * time.Second
	for query, want := range map[string]proxy.Outcome{"": proxy.Served, "hang": proxy.NoAnswer} {
		slow, w := io.Pipe()
		go func() {
			for range 6 {
				time.Sleep(500 * time.Millisecond)
				w.Write([]byte("part"))
			}
			w.Close()
		}()
		r.call.Body, r.call.Query = proxy.Body{Rest: slow, Length: -1}, query
		if a := r.do(t); a.Verdict.Outcome != want {
			t.Errorf("%q: verdict %+v", query, a.Verdict)
		}
	}
}

// Headers that come at the moment at which the wait for them ends are in time or too late: never is an answer cut for them.
func TestHeadersAtTheLastMoment(t *testing.T) {
	const wait = 4 * time.Millisecond
	r := newRig(t, Options{}, func(w http.ResponseWriter, req *http.Request) {
		time.Sleep(wait - time.Millisecond + rand.N(time.Millisecond))
		http.NewResponseController(w).Flush()
		time.Sleep(time.Millisecond)
		io.WriteString(w, "all of it")
	})
	r.patience = wait
	outcomes := map[proxy.Outcome]int{}
	for range 500 {
		a := r.do(t)
		outcomes[a.Verdict.Outcome]++
		if a.Verdict.Outcome == proxy.NoAnswer {
			continue
		}
		w := httptest.NewRecorder()
		if d := a.Forward(w, &Forwarding{}); d.Verdict.Outcome != proxy.Served || w.Body.String() != "all of it" {
			t.Fatalf("%q of an answer that was in time: %+v", w.Body, d.Verdict)
		}
	}
	t.Log(outcomes)
}

func TestLostBeforeHeaders(t *testing.T) {
	r := newRig(t, Options{}, func(w http.ResponseWriter, req *http.Request) { hangUp(w) })
	if a := r.do(t); a.Verdict.Outcome != proxy.NoAnswer || TimedOut(a.Verdict.Err) {
		t.Errorf("verdict %+v", a.Verdict)
	}
}

func TestCallerLeavesBeforeHeaders(t *testing.T) {
	cancelled := make(chan struct{})
	r := newRig(t, Options{}, func(w http.ResponseWriter, req *http.Request) {
		io.Copy(io.Discard, req.Body)
		<-req.Context().Done()
		close(cancelled)
	})
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	a := r.Do(ctx, r.key, r.call, r.patience)
	defer a.Close()
	if a.Verdict.Outcome != proxy.CallerGone {
		t.Errorf("verdict %+v", a.Verdict)
	}
	<-cancelled
}

// Every way in which a stream may end, and what becomes of it.
func TestStreamEnds(t *testing.T) {
	const event = `data: {"choices":[{"delta":{"content":"hi"}}]}` + "\n\n"
	for _, c := range []struct {
		name    string
		idle    time.Duration
		end     func(w http.ResponseWriter, req *http.Request)
		want    proxy.Outcome
		whole   bool
		timeout bool
	}{
		{name: "well", want: proxy.Served, end: func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "data: [DONE]\n\n") }},
		{name: "lost", want: proxy.StreamCut, end: func(w http.ResponseWriter, _ *http.Request) { hangUp(w) }},
		{name: "silent", want: proxy.StreamCut, idle: 500 * time.Millisecond, timeout: true,
			end: func(_ http.ResponseWriter, req *http.Request) { <-req.Context().Done() }},
		{name: "error event", want: proxy.StreamCut, whole: true,
			end: func(w http.ResponseWriter, _ *http.Request) {
				io.WriteString(w, `data: {"error":{"message":"m"}}`+"\n\n")
			}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, Options{IdleTimeout: c.idle}, func(w http.ResponseWriter, req *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream")
				io.WriteString(w, event)
				http.NewResponseController(w).Flush()
				c.end(w, req)
			})
			w := httptest.NewRecorder()
			d := r.do(t).Forward(w, &Forwarding{})
			if d.Verdict.Outcome != c.want || d.Verdict.Whole != c.whole || TimedOut(d.Verdict.Err) != c.timeout {
				t.Errorf("delivered %+v", d)
			}
			if w.Header().Get("X-Accel-Buffering") != "no" {
				t.Error("a proxy in front of us may buffer the stream")
			}
			if !strings.HasPrefix(w.Body.String(), event) || d.Deltas < 1 || d.FirstByte.IsZero() {
				t.Errorf("the caller got %q, %+v", w.Body, d)
			}
		})
	}
}

// An HTTP/1.0 style answer ends with its connection: only the stream's own last event tells the end from a loss.
func TestUndelimitedStream(t *testing.T) {
	for _, c := range []struct {
		last string
		want proxy.Outcome
	}{{"data: [DONE]\n\n", proxy.Served}, {"", proxy.StreamCut}} {
		r := newRig(t, Options{}, func(w http.ResponseWriter, req *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\ndata: {}\n\n"+c.last)
		})
		if d := r.do(t).Forward(httptest.NewRecorder(), &Forwarding{}); d.Verdict.Outcome != c.want {
			t.Errorf("after %q: %+v", c.last, d.Verdict)
		}
	}
}

func TestCallerStopsReading(t *testing.T) {
	cancelled := make(chan struct{})
	r := newRig(t, Options{}, func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for req.Context().Err() == nil {
			io.WriteString(w, "data: {}\n\n")
			http.NewResponseController(w).Flush()
			time.Sleep(time.Millisecond)
		}
		close(cancelled)
	})
	a := r.Do(t.Context(), r.key, r.call, r.patience)
	d := a.Forward(brokenWriter{httptest.NewRecorder()}, &Forwarding{})
	a.Close()
	if d.Verdict.Outcome != proxy.CallerGone {
		t.Errorf("verdict %+v", d.Verdict)
	}
	<-cancelled
}

type brokenWriter struct{ *httptest.ResponseRecorder }

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("the caller is gone") }

func hangUp(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	conn.(*net.TCPConn).SetLinger(0)
	conn.Close()
}

// ended is what an attempt was ended for.
type ended chan error

func (e ended) cancel(why error) { e <- why }

func (e ended) follow() {}

// TestSilence looks at an attempt after each way it can have gone.
func TestSilence(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(q *quiet)
		want error
	}{
		{"before headers", func(q *quiet) { q.wait() }, errSilent},
		{"nobody waits", func(q *quiet) { q.wait(); q.heard() }, nil},
		{"answered in time", func(q *quiet) { q.wait(); q.answered() }, nil},
		{"sent after the answer", func(q *quiet) { q.answered(); q.sent() }, nil},
		{"inside", func(q *quiet) { q.wait(); q.answered(); q.wait() }, errIdle},
		{"over", func(q *quiet) { q.wait(); q.end() }, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got, v, q := make(ended, 1), new(vigil), new(quiet)
				var others [3]quiet
				others[0].begin(got, v, time.Hour, time.Minute)
				q.begin(got, v, time.Minute, time.Minute)
				others[1].begin(got, v, time.Hour, time.Hour)
				others[2].begin(got, v, time.Second, time.Hour)
				c.do(q)
				time.Sleep(59 * time.Second)
				synctest.Wait()
				if len(got) > 0 {
					t.Fatal("it was ended early: ", <-got)
				}
				time.Sleep(time.Minute/slack + 2*time.Second)
				synctest.Wait()
				var why error
				if len(got) > 0 {
					why = <-got
				}
				if why != c.want {
					t.Errorf("ended for %v, want %v", why, c.want)
				}
				q.end()
				for i := range others {
					others[i].end()
					others[i].end()
				}
				time.Sleep(2 * mostSlack)
				synctest.Wait()
				v.mu.Lock()
				defer v.mu.Unlock()
				if v.first != nil || v.every != 0 {
					t.Error("it looks on, after nothing")
				}
			})
		})
	}
}
