package app_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"openai-api-proxy/pkg/mockopenai"
)

// A thousand streams at once, ten times over or on a slow machine for a minute, arrive whole. The usual construction loses 1 to 4 % of them: it hands the
// caller's body to the transport, and the server closes that body when the first byte of the answer is written.
func TestThousandStreams(t *testing.T) {
	const connecting = 9 * time.Second // a head, or a connection to the upstream, that takes ten is given up
	_, url := upstream(t, mockopenai.WithSettings(mockopenai.Settings{Chunks: 12, ChunkDelayMS: 40, ChunkJitterMS: 40}))
	r := start(t, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEYS": threeKeys()})
	begin := time.Now()
	for round := 0; round < 10 && (round < 3 || time.Since(begin) < time.Minute); round++ {
		var dropped, late atomic.Int64
		crowd(1000, 1000, func(int) answer {
			asked := time.Now()
			if a := r.chat(t, streamed); a.status != 200 && time.Since(asked) > connecting {
				late.Add(1)
			} else if !a.whole() || strings.Count(a.body, " token") != 12 {
				if dropped.Add(1) <= 3 {
					t.Logf("%d %v, %d bytes: ...%q", a.status, a.err, len(a.body), a.body[max(0, len(a.body)-300):])
				}
			}
			return answer{}
		})
		if n := dropped.Load(); n > 0 {
			t.Errorf("round %d: %d of 1000 streams dropped", round, n)
		}
		if n := late.Load(); n > 0 {
			t.Logf("round %d: this machine was too slow for %d of 1000 to begin", round, n)
		}
	}
}

// The caller sees each piece when the upstream sends it, not when a buffer is full.
func TestNothingIsBuffered(t *testing.T) {
	mock, url := upstream(t, mockopenai.WithSettings(mockopenai.Settings{Chunks: 5}))
	r := start(t, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEY": keyNumber(1)})
	mock.Fault(mockopenai.Fault{Key: "*", Kind: "silence", AfterChunks: 3}) // for ever
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	lines := r.open(ctx, t)
	for pieces := 0; pieces < 2; {
		if line, ok := <-lines; !ok {
			t.Fatal("the stream ended")
		} else if strings.Contains(line, " token") {
			pieces++
		}
	}
	leave()
	eventually(t, "the upstream sees the caller leave", func() bool { return mock.Stats()[keyNumber(1)].Aborted == 1 })
	eventually(t, "the record says so", func() bool { return strings.Contains(r.logs.String(), `"ended":"caller_gone"`) })
}

// open starts a stream and returns its lines as they come.
func (r *rig) open(ctx context.Context, t testing.TB) <-chan string {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, "POST", r.url+"/v1/chat/completions", strings.NewReader(streamed))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+keyNumber(1))
	resp, err := r.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	lines := make(chan string, 1000)
	go func() {
		defer close(lines)
		defer resp.Body.Close()
		from := bufio.NewReader(resp.Body)
		for {
			line, err := from.ReadString('\n')
			if err == nil || line != "" {
				lines <- line
			}
			if err != nil {
				if err != io.EOF {
					lines <- "cut"
				}
				return
			}
		}
	}()
	return lines
}

func TestIdleStreamIsCut(t *testing.T) {
	mock, url := upstream(t)
	r := start(t, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEY": keyNumber(1), "STREAM_IDLE_TIMEOUT": "200ms"})
	mock.Fault(mockopenai.Fault{Key: "*", Kind: "silence", AfterChunks: 3})
	if a := r.chat(t, streamed); a.err == nil {
		t.Errorf("a stream that fell silent ended cleanly: %q", a.body)
	}
}

// What the proxy asks the upstream for is hidden from callers who did not; both know the usage.
func TestStreamUsage(t *testing.T) {
	for _, c := range []struct {
		setting, body string
		asked, seen   bool
		basis         string
	}{
		{"inject", streamed, true, false, "exact"},
		{"inject", strings.Replace(streamed, `"stream":true`, `"stream":true,"stream_options":{"include_usage":true}`, 1), true, true, "exact"},
		{"observe", streamed, false, false, "estimated"},
	} {
		mock, url := upstream(t, mockopenai.WithSettings(mockopenai.Settings{Chunks: 30, Requests: 10}))
		r := start(t, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEY": keyNumber(1), "CONFIG_FILE": "c.json",
			"file": `{"streamUsage":"` + c.setting + `"}`})
		a := r.chat(t, c.body)
		if !a.whole() || strings.Count(a.body, " token") != 30 {
			t.Fatalf("%s: %v %q", c.setting, a.err, a.body)
		}
		if seen := strings.Contains(a.body, `"usage"`); seen != c.seen {
			t.Errorf("%s: the caller sees usage: %v, want %v: %.300s", c.setting, seen, c.seen, a.body)
		}
		if asked := strings.Contains(mock.Requests()[0].Body, `"include_usage":true`); asked != c.asked {
			t.Errorf("%s: the upstream was asked: %v, want %v", c.setting, asked, c.asked)
		}
		eventually(t, "the record", func() bool { return strings.Contains(r.logs.String(), `"usage":"`+c.basis+`"`) })
		if out := r.stats(t).Totals.Tokens.Output; out < 30 || out > 32 {
			t.Errorf("%s: %d output tokens, want about 30", c.setting, out)
		}
	}
}

// SIGTERM lets streams finish, and cuts those that outlast the time for it.
func TestDrain(t *testing.T) {
	mock, url := upstream(t, mockopenai.WithSettings(mockopenai.Settings{Chunks: 20, ChunkDelayMS: 20}))
	r := start(t, map[string]string{"OPENAI_BASE_URL": url, "OPENAI_API_KEY": keyNumber(1), "DRAIN_TIMEOUT": "6s"})
	quick := r.open(t.Context(), t)
	<-quick
	mock.Fault(mockopenai.Fault{Key: "*", Kind: "silence", AfterChunks: 2})
	endless := r.open(t.Context(), t)
	<-endless
	begun := time.Now()
	if err := r.Stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
	if took := time.Since(begun); took > time.Minute { // it ends at all
		t.Errorf("the drain took %v", took)
	}
	if last := lastOf(quick); last != "data: [DONE]\n" {
		t.Errorf("a running stream ended with %q", last)
	}
	if last := lastOf(endless); last != "cut" {
		t.Errorf("a stream that outlasted the drain ended with %q", last)
	}
}

// lastOf is the last line that is not empty.
func lastOf(lines <-chan string) (last string) {
	for line := range lines {
		if strings.TrimSpace(line) != "" {
			last = line
		}
	}
	return last
}
