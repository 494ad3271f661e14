package edge

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"reflect"
	"testing"
	"time"

	"openai-api-proxy/pkg/openai"
	"openai-api-proxy/pkg/proxy"
)

// records are what the access log may have to tell.
func records() map[string]*proxy.Record {
	usual := proxy.Record{ID: "req_test", Start: time.Now(), Method: "POST", Operation: "/v1/chat/completions", Client: "team",
		ClientIP: "192.0.2.7", Model: "gpt-4o-mini", Status: 200, Key: "k1", Usage: openai.Usage{Input: 19, Output: 100, Basis: openai.Exact},
		BytesIn: 37, BytesOut: 981, FirstByte: 22259 * time.Microsecond, Total: 1500 * time.Millisecond, Upstream: "req_up",
		Attempts: []proxy.Attempt{{Key: "k1", Account: "a"}}}
	strange, cut := usual, usual
	strange.Model = "\x00\"quoted\\\" \xff <b>&\u2028 模型"
	strange.Client = "\t"
	cut.Fault, cut.Cause, cut.Cut, cut.Gone = proxy.UpstreamError, "dial tcp: \"refused\"", true, true
	cut.Attempts = append(cut.Attempts, proxy.Attempt{Key: "k\"2", Outcome: proxy.KeyFailed})
	priced := usual
	priced.Cost, priced.Priced, priced.FirstByte, priced.Total = 62_850, true, 7*time.Microsecond, 20*time.Millisecond
	return map[string]*proxy.Record{"priced": &priced, "usual": &usual, "strange": &strange, "cut": &cut, "empty": {}}
}

// TestAccessLine compares the line with what slog makes of the same record.
func TestAccessLine(t *testing.T) {
	for name, rec := range records() {
		var want, got bytes.Buffer
		for _, to := range []struct {
			out    *bytes.Buffer
			access io.Writer
		}{{&want, nil}, {&got, &got}} {
			e := &Edge{Options: Options{Log: slog.New(slog.NewJSONHandler(to.out, nil)), AccessLog: to.access}}
			for _, level := range []slog.Level{slog.LevelInfo, slog.LevelDebug} { // of which the log has one
				e.accessed(level, rec)
			}
		}
		var a, b map[string]any
		if err := json.Unmarshal(want.Bytes(), &a); err != nil {
			t.Fatal(name, err)
		}
		if err := json.Unmarshal(got.Bytes(), &b); err != nil {
			t.Fatalf("%s: %v in %s", name, err, &got)
		}
		for _, m := range []map[string]any{a, b} {
			if _, err := time.Parse(time.RFC3339Nano, m["time"].(string)); err != nil {
				t.Error(name, err)
			}
			delete(m, "time")
		}
		if !reflect.DeepEqual(a, b) {
			t.Errorf("%s: slog wrote\n%s, and we\n%s", name, &want, &got)
		}
		if bytes.Count(got.Bytes(), []byte("\n")) != 1 {
			t.Errorf("%s: not one line: %s", name, &got)
		}
	}
}

// accessed writes the record as an Edge with these options does.
func (e *Edge) accessed(level slog.Level, rec *proxy.Record) {
	var l line
	switch {
	case e.AccessLog == nil:
		e.log(level, rec)
	case e.logged(level):
		l.tell(level, rec)
		e.AccessLog.Write(l.text)
	}
}

func BenchmarkAccess(b *testing.B) {
	rec := records()["priced"]
	for name, to := range map[string]io.Writer{"slog": nil, "line": io.Discard} {
		b.Run(name, func(b *testing.B) {
			e := &Edge{Options: Options{Log: slog.New(slog.NewJSONHandler(io.Discard, nil)), AccessLog: to}}
			b.ReportAllocs()
			var l line
			for b.Loop() {
				if l.text = l.text[:0]; to == nil {
					e.log(slog.LevelInfo, rec)
				} else {
					l.tell(slog.LevelInfo, rec)
				}
			}
		})
	}
}
