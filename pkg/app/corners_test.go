package app_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"openai-api-proxy/pkg/mockopenai"
)

// While an endpoint is busy all its keys are second choice; a bad one among them is still passed over for a good one.
func TestFailoverWhileAnEndpointIsBusy(t *testing.T) {
	for _, kind := range []string{"401", "402", "429"} {
		mock, url := upstream(t)
		r := start(t, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEYS": threeKeys(), "CONFIG_FILE": "c.json", "file": `{"failover":{"retryDelay":10}}`})
		mock.Fault(mockopenai.Fault{Key: "*", Kind: "503", RetryAfter: 20, Count: 2})
		r.chat(t, plain)
		mock.Fault(mockopenai.Fault{Key: keyNumber(2), Kind: kind, RetryAfter: 30})
		for i := range 6 {
			if a := r.chat(t, plain); a.status != 200 {
				t.Errorf("%s, request %d: %d %s", kind, i, a.status, a.body)
			}
		}
	}
}

// Who still waits for an answer when the drain is over is told to come back, and not taken for gone.
func TestDrainTellsThoseWhoWait(t *testing.T) {
	mock, url := upstream(t)
	r := start(t, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEY": keyNumber(1), "DRAIN_TIMEOUT": "200ms"})
	mock.Fault(mockopenai.Fault{Key: "*", Kind: "hang"})
	got := make(chan answer)
	go func() { got <- r.chat(t, plain) }()
	eventually(t, "the request waits", func() bool { return mock.Stats()[keyNumber(1)].InFlight == 1 })
	if err := r.Stop(); err != nil {
		t.Error(err)
	}
	if a := <-got; a.status != 503 || a.header.Get("Retry-After") == "" || a.code() != "no_available_key" {
		t.Errorf("%d %v %s", a.status, a.err, a.body)
	}
}

// A body that cannot be read cannot be searched for objects of others.
func TestUnreadableBodiesCannotPointAtObjects(t *testing.T) {
	mock, url := upstream(t)
	r := start(t, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEYS": threeKeys(), "CONFIG_FILE": "c.json",
		"file": `{"limits":{"replayBytes":70000}}`})
	reference := `{"model":"gpt-4o","input":"x","previous_response_id":"resp_1"}`
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	z.Write([]byte(reference))
	z.Close()
	req, _ := http.NewRequestWithContext(t.Context(), "POST", r.url+"/v1/responses", &zipped)
	req.Header.Set("Content-Encoding", "gzip")
	if a := r.send(t, req, keyNumber(1)); a.status != 400 {
		t.Errorf("zipped: %d %s", a.status, a.body)
	}
	padded := strings.Replace(reference, `"x"`, `"`+strings.Repeat("x", 100_000)+`"`, 1)
	if a := r.post(t, "/v1/responses", keyNumber(1), padded); a.status != 400 {
		t.Errorf("padded: %d %s", a.status, a.body)
	}
	if n := len(mock.Requests()); n > 0 {
		t.Errorf("%d of them reached the upstream", n)
	}
}

func TestNamesOfModels(t *testing.T) {
	_, url := upstream(t)
	r := start(t, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEY": keyNumber(1)})
	for _, name := range []string{"\xff\xfe", strings.Repeat("m", 10_000)} {
		if a := r.chat(t, strings.Replace(plain, "gpt-4o-mini", name, 1)); a.status != 400 || !strings.Contains(a.body, `"param":"model"`) {
			t.Errorf("%.20q: %d %s", name, a.status, a.body)
		}
	}
	eventually(t, "both are counted", func() bool { return r.stats(t).Totals.Requests == 2 })
	if size := len(r.get(t, "/metrics", adminToken).body); size > 100_000 {
		t.Errorf("%d bytes of metrics", size)
	}
}

// The caller learns that there will be a stream when the upstream says so, not when the first event comes.
func TestHeadersComeFirst(t *testing.T) {
	mock, url := upstream(t)
	r := start(t, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEY": keyNumber(1)})
	mock.Fault(mockopenai.Fault{Key: "*", Kind: "silence"}) // for ever, before the first event
	ctx, leave := context.WithTimeout(t.Context(), 10*time.Second)
	defer leave()
	r.open(ctx, t) // fails when there are no headers
}

// Many small requests without a length leave room for the bodies of others.
func TestSmallBodiesTakeLittleRoom(t *testing.T) {
	mock, url := upstream(t)
	r := start(t, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEYS": threeKeys(),
		"CLIENT_TOKENS": `[{"id":"team","token":"` + keyNumber(9) + `","models":["gpt-4o*"]}]`})
	mock.Fault(mockopenai.Fault{Key: "*", Kind: "silence", Model: "gpt-4o-slow"})
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	for range 40 {
		go func() {
			req, _ := http.NewRequestWithContext(ctx, "POST", r.url+"/v1/chat/completions",
				chunked{strings.NewReader(strings.Replace(streamed, "gpt-4o-mini", "gpt-4o-slow", 1))})
			r.send(t, req, keyNumber(9))
		}()
	}
	eventually(t, "they wait", func() bool { return inFlight(mock) == 40 })
	big := strings.Replace(plain, "Hello", strings.Repeat("x", 1<<20), 1)
	if a := r.post(t, "/v1/chat/completions", keyNumber(9), big); a.status != 200 {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func inFlight(mock *mockopenai.Server) (n int64) {
	for _, s := range mock.Stats() {
		n += s.InFlight
	}
	return n
}
