package edge

import (
	"context"
	"encoding/json"
	"log/slog"
	"strconv"
	"time"
	"unicode/utf8"

	"openai-api-proxy/pkg/proxy"
)

// access writes the access record: as the line of JSON that slog would write, without what slog allocates for it, where
// there is a writer for that, else through the log.
func (e *Edge) access(level slog.Level, rec *proxy.Record) {
	if !e.Log.Enabled(context.Background(), level) {
		return
	}
	if e.AccessLog == nil {
		e.Log.LogAttrs(context.Background(), level, "request", attributes(nil, rec)...)
		return
	}
	line := e.lines.Get().(*[]byte)
	var room [32]slog.Attr // stays on the stack
	*line = appendLine((*line)[:0], level, time.Now(), attributes(room[:0], rec))
	_, _ = e.AccessLog.Write(*line) // a log that cannot be written is nobody's request's fault
	e.lines.Put(line)
}

// attributes appends the access record. Nothing in it is a secret or a caller's free text but the model, whose length is
// bound.
func attributes(attrs []slog.Attr, rec *proxy.Record) []slog.Attr {
	attrs = append(attrs,
		slog.String("id", rec.ID), slog.String("method", rec.Method), slog.String("operation", rec.Operation),
		slog.Int("status", rec.Status), slog.String("client", rec.Client), slog.String("ip", rec.ClientIP),
		slog.String("model", printable(rec.Model)), slog.Bool("stream", rec.Stream),
		slog.String("key", rec.Key), slog.Int("attempts", len(rec.Attempts)),
		slog.Int64("input_tokens", rec.Usage.Input), slog.Int64("cached_tokens", rec.Usage.Cached),
		slog.Int64("output_tokens", rec.Usage.Output), slog.Int64("reasoning_tokens", rec.Usage.Reasoning),
		slog.String("usage", string(rec.Usage.Basis)),
		slog.Int64("bytes_in", rec.BytesIn), slog.Int64("bytes_out", rec.BytesOut),
		slog.Float64("first_byte_ms", milliseconds(rec.FirstByte)), slog.Float64("total_ms", milliseconds(rec.Total)))
	if s := rec.Session; s != nil {
		attrs = append(attrs, slog.Int64("messages_in", s.Sent), slog.Int64("messages_out", s.Received), slog.Int("close", s.Code))
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

// appendLine appends what slog's JSON handler writes of a record with these attributes.
func appendLine(b []byte, level slog.Level, at time.Time, attrs []slog.Attr) []byte {
	b = append(b, `{"time":"`...)
	b = at.AppendFormat(b, time.RFC3339Nano)
	b = append(b, `","level":"`...)
	b = append(b, level.String()...)
	b = append(b, `","msg":"request"`...)
	for i := range attrs {
		b = append(b, ',', '"')
		b = append(b, attrs[i].Key...) // our own names: nothing to escape
		b = append(b, '"', ':')
		b = appendValue(b, attrs[i].Value)
	}
	return append(b, '}', '\n')
}

func appendValue(b []byte, v slog.Value) []byte {
	switch v.Kind() {
	case slog.KindString:
		return appendText(b, v.String())
	case slog.KindInt64:
		return strconv.AppendInt(b, v.Int64(), 10)
	case slog.KindBool:
		return strconv.AppendBool(b, v.Bool())
	case slog.KindFloat64:
		return strconv.AppendFloat(b, v.Float64(), 'f', -1, 64)
	}
	if n, isNumber := v.Any().(json.Number); isNumber {
		return append(b, n...)
	}
	text, _ := json.Marshal(v.Any()) // the few that are lists
	return append(b, text...)
}

// appendText appends a string of JSON. Nearly all need no escapes.
func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			text, _ := json.Marshal(s)
			return append(b, text...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}
