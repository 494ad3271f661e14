package edge

import (
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"openai-api-proxy/pkg/proxy"
)

const recordKey = "oap.record"

// recordOf is the record of the request; the first middleware made it.
func recordOf(c *gin.Context) *proxy.Record { return c.MustGet(recordKey).(*proxy.Record) }

// record names the request, and logs and counts it once when it has ended, however that was.
func (e *Edge) record(c *gin.Context) {
	rec := &proxy.Record{ID: "req_" + strings.ToLower(rand.Text()), Start: time.Now(), Method: c.Request.Method,
		ClientIP: e.clientAddr(c.Request).String()}
	c.Set(recordKey, rec)
	c.Header("X-Proxy-Request-Id", rec.ID)
	if e.leaving.Load() {
		c.Header("Connection", "close")
	}
	e.serving.Add(1)
	defer func() {
		e.serving.Add(-1)
		e.finish(c, rec)
	}()
	c.Next()
}

func (e *Edge) finish(c *gin.Context, rec *proxy.Record) {
	if rec.Operation == "" {
		// Health checks and strangers at the door: seen in the log, not in the usage of the API.
		if rec.Status == 0 {
			rec.Status = c.Writer.Status()
		}
		rec.Total = since(rec)
		e.Log.Debug("request", attributes(rec)...)
		return
	}
	if rec.Gone && rec.BytesOut == 0 {
		rec.Status = statusCallerLeft
	}
	rec.Total = since(rec)
	e.Usage.Record(rec)
	e.Log.Info("request", attributes(rec)...)
	e.metrics.observe(rec)
	if e.Trace != nil {
		e.Trace(rec, c.Request.Header)
	}
}

// attributes are the access record. Nothing in it is a secret or a caller's free text but the model, whose length is bound.
func attributes(rec *proxy.Record) []any {
	attrs := []any{
		slog.String("id", rec.ID), slog.String("method", rec.Method), slog.String("operation", rec.Operation),
		slog.Int("status", rec.Status), slog.String("client", rec.Client), slog.String("ip", rec.ClientIP),
		slog.String("model", printable(rec.Model)), slog.Bool("stream", rec.Stream),
		slog.String("key", rec.Key), slog.Int("attempts", len(rec.Attempts)),
		slog.Int64("input_tokens", rec.Usage.Input), slog.Int64("cached_tokens", rec.Usage.Cached),
		slog.Int64("output_tokens", rec.Usage.Output), slog.Int64("reasoning_tokens", rec.Usage.Reasoning),
		slog.String("usage", string(rec.Usage.Basis)),
		slog.Int64("bytes_in", rec.BytesIn), slog.Int64("bytes_out", rec.BytesOut),
		slog.Float64("first_byte_ms", milliseconds(rec.FirstByte)), slog.Float64("total_ms", milliseconds(rec.Total)),
	}
	if rec.Priced {
		attrs = append(attrs, slog.Any("cost_usd", json.Number(proxy.DollarText(rec.Cost))))
	}
	if rec.Upstream != "" {
		attrs = append(attrs, slog.String("upstream_id", printable(rec.Upstream)))
	}
	if rec.Fault != "" {
		attrs = append(attrs, slog.String("fault", string(rec.Fault)))
	}
	if rec.Cause != "" {
		attrs = append(attrs, slog.String("cause", rec.Cause))
	}
	if rec.Cut || rec.Gone || rec.Broken {
		attrs = append(attrs, slog.String("ended", ended(rec)))
	}
	if len(rec.Attempts) > 1 {
		tries := make([]string, len(rec.Attempts))
		for i, a := range rec.Attempts {
			tries[i] = a.Key + ":" + a.Outcome.String()
		}
		attrs = append(attrs, slog.Any("tries", tries))
	}
	return attrs
}

func ended(rec *proxy.Record) string {
	switch {
	case rec.Gone:
		return "caller_gone"
	case rec.Cut:
		return "upstream_cut"
	default:
		return "upstream_error"
	}
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// recovery answers a panic with 500, or cuts the connection when the answer had begun. Gin's own ends a cut stream
// cleanly, which looks like success, and logs credential headers.
func (e *Edge) recovery(c *gin.Context) {
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		if p == http.ErrAbortHandler {
			panic(p)
		}
		e.metrics.panics.Inc()
		e.Log.Error("panic", "request", recordOf(c).ID, "panic", p, "stack", stack())
		if c.Writer.Written() {
			recordOf(c).Cut = true
			panic(http.ErrAbortHandler)
		}
		e.fail(c, proxy.Faultf(proxy.Internal, "internal error"))
	}()
	c.Next()
}

func stack() string { return string(debug.Stack()) }
