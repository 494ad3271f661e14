package edge

import (
	"context"
	"encoding/json"
	"log/slog"
	"strconv"
	"time"

	"openai-api-proxy/pkg/proxy"
)

// logged reports whether requests of that level are logged.
func (e *Edge) logged(level slog.Level) bool { return e.Log.Enabled(context.Background(), level) }

// log writes the access record through the log.
func (e *Edge) log(level slog.Level, rec *proxy.Record) {
	if e.logged(level) {
		var attrs attributes
		describe(&attrs, rec)
		e.Log.LogAttrs(context.Background(), level, "request", attrs...)
	}
}

// members takes those of the access record, in order.
type members interface {
	String(name, value string)
	Int(name string, n int64)
	Bool(name string, is bool)
	Milliseconds(name string, d time.Duration)
	Dollars(name string, nanoUSD int64)
	Strings(name string, values []string)
}

// describe tells the access record. Nothing in it is a secret or a caller's free text but the model, whose length is bound.
func describe(to members, rec *proxy.Record) {
	to.String("id", rec.ID)
	to.String("method", rec.Method)
	to.String("operation", rec.Operation)
	to.Int("status", int64(rec.Status))
	to.String("client", rec.Client)
	to.String("ip", rec.ClientIP)
	to.String("model", printable(rec.Model))
	to.Bool("stream", rec.Stream)
	to.String("key", rec.Key)
	to.Int("attempts", int64(len(rec.Attempts)))
	to.Int("input_tokens", rec.Usage.Input)
	to.Int("cached_tokens", rec.Usage.Cached)
	to.Int("output_tokens", rec.Usage.Output)
	to.Int("reasoning_tokens", rec.Usage.Reasoning)
	to.String("usage", string(rec.Usage.Basis))
	to.Int("bytes_in", rec.BytesIn)
	to.Int("bytes_out", rec.BytesOut)
	to.Milliseconds("first_byte_ms", rec.FirstByte)
	to.Milliseconds("total_ms", rec.Total)
	describeMore(to, rec)
}

// describeMore tells what few requests have.
func describeMore(to members, rec *proxy.Record) {
	if s := rec.Session; s != nil {
		to.Int("messages_in", s.Sent)
		to.Int("messages_out", s.Received)
		to.Int("close", int64(s.Code))
	}
	if rec.Priced {
		to.Dollars("cost_usd", rec.Cost)
	}
	if rec.Upstream != "" {
		to.String("upstream_id", printable(rec.Upstream))
	}
	if rec.Fault != "" {
		to.String("fault", string(rec.Fault))
	}
	if rec.Cause != "" {
		to.String("cause", rec.Cause)
	}
	if rec.Cut || rec.Gone || rec.Broken {
		to.String("ended", ended(rec))
	}
	if len(rec.Attempts) > 1 {
		tries := make([]string, len(rec.Attempts))
		for i, a := range rec.Attempts {
			tries[i] = a.Key + ":" + a.Outcome.String()
		}
		to.Strings("tries", tries)
	}
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

// attributes are the members for slog.
type attributes []slog.Attr

func (a *attributes) String(name, value string)            { *a = append(*a, slog.String(name, value)) }
func (a *attributes) Int(name string, n int64)             { *a = append(*a, slog.Int64(name, n)) }
func (a *attributes) Bool(name string, is bool)            { *a = append(*a, slog.Bool(name, is)) }
func (a *attributes) Strings(name string, values []string) { *a = append(*a, slog.Any(name, values)) }

func (a *attributes) Milliseconds(name string, d time.Duration) {
	*a = append(*a, slog.Float64(name, float64(d.Microseconds())/1000))
}

func (a *attributes) Dollars(name string, nanoUSD int64) {
	*a = append(*a, slog.Any(name, json.Number(proxy.DollarText(nanoUSD))))
}

// line is what slog's JSON handler writes of records with these members, without what slog costs: a line for each.
type line struct{ text []byte }

// tell adds the line of a record, with the time at which the request ended.
func (l *line) tell(level slog.Level, rec *proxy.Record) {
	l.begin(level, rec.Start.Add(rec.Total))
	describe(l, rec)
	l.text = append(l.text, "}\n"...)
}

func (l *line) begin(level slog.Level, at time.Time) {
	b := append(l.text, `{"time":"`...)
	b = at.AppendFormat(b, time.RFC3339Nano)
	b = append(b, `","level":"`...)
	b = append(b, level.String()...)
	l.text = append(b, `","msg":"request"`...)
}

// named appends the name of a member, which is one of our own: there is nothing to escape.
func (l *line) named(name string) []byte {
	b := append(l.text, ',', '"')
	b = append(b, name...)
	return append(b, '"', ':')
}

func (l *line) String(name, value string) { l.text = proxy.AppendText(l.named(name), value) }
func (l *line) Int(name string, n int64)  { l.text = strconv.AppendInt(l.named(name), n, 10) }
func (l *line) Bool(name string, is bool) { l.text = strconv.AppendBool(l.named(name), is) }

func (l *line) Milliseconds(name string, d time.Duration) {
	l.text = proxy.AppendDecimal(l.named(name), d.Microseconds(), 1000)
}

func (l *line) Dollars(name string, nanoUSD int64) {
	l.text = proxy.AppendDollars(l.named(name), nanoUSD)
}

func (l *line) Strings(name string, values []string) {
	text, _ := json.Marshal(values)
	l.text = append(l.named(name), text...)
}
