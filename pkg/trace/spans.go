package trace

import (
	"net/url"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"openai-api-proxy/pkg/proxy"
)

// The names of the GenAI conventions are "in development" and have moved before; all of them are in this file. What is ours
// begins with oap.

// operations are the conventions' names of those operations that a model carries out.
var operations = map[string]string{
	"/v1/chat/completions":     "chat",
	"/v1/responses":            "chat",
	"/v1/completions":          "text_completion",
	"/v1/embeddings":           "embeddings",
	"/v1/images/generations":   "generate_content",
	"/v1/images/edits":         "generate_content",
	"/v1/audio/speech":         "generate_content",
	"/v1/audio/transcriptions": "generate_content",
	"/v1/audio/translations":   "generate_content",
}

// request is what is said of the whole request.
func request(rec *proxy.Record) []attribute.KeyValue {
	return []attribute.KeyValue{
		attribute.String("http.request.method", rec.Method),
		attribute.String("http.route", rec.Operation),
		attribute.Int("http.response.status_code", rec.Status),
		attribute.String("client.address", rec.ClientIP),
		attribute.String("oap.request.id", rec.ID),
		attribute.String("oap.client", rec.Client),
		attribute.Int("oap.attempts", len(rec.Attempts)),
	}
}

// inference is what is said of the model's operation.
func inference(name string, rec *proxy.Record) []attribute.KeyValue {
	all := []attribute.KeyValue{
		attribute.String("gen_ai.operation.name", name),
		attribute.String("gen_ai.provider.name", "openai"),
		attribute.String("gen_ai.request.model", rec.Model),
		attribute.Bool("gen_ai.request.stream", rec.Stream),
		attribute.String("oap.key", rec.Key),
	}
	if u := rec.Usage; u.Basis != "" {
		all = append(all, attribute.Int64("gen_ai.usage.input_tokens", u.Input), attribute.Int64("gen_ai.usage.output_tokens", u.Output),
			attribute.Int64("gen_ai.usage.cache_read.input_tokens", u.Cached),
			attribute.Int64("gen_ai.usage.reasoning.output_tokens", u.Reasoning), attribute.String("oap.usage.basis", string(u.Basis)))
	}
	if rec.Priced {
		all = append(all, attribute.Float64("oap.cost.usd", float64(rec.Cost)/1e9))
	}
	if rec.FirstByte > 0 {
		all = append(all, attribute.Float64("oap.first_byte.seconds", rec.FirstByte.Seconds()))
	}
	return all
}

// attempt is what is said of one try.
func attempt(method string, i int, a *proxy.Attempt) []attribute.KeyValue {
	all := []attribute.KeyValue{
		attribute.String("http.request.method", method),
		attribute.String("oap.key", a.Key),
		attribute.String("oap.account", a.Account),
		attribute.String("oap.outcome", a.Outcome.String()),
	}
	if i > 0 {
		all = append(all, attribute.Int("http.request.resend_count", i))
	}
	if a.Status != 0 {
		all = append(all, attribute.Int("http.response.status_code", a.Status))
	}
	return all
}

// server is where the key's requests go.
func (t *Tracer) server(key string) []attribute.KeyValue {
	u, err := url.Parse(t.Upstream(key))
	if err != nil || u.Hostname() == "" {
		return nil
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		port = map[string]int{"http": 80, "https": 443}[u.Scheme]
	}
	return []attribute.KeyValue{attribute.String("server.address", u.Hostname()), attribute.Int("server.port", port)}
}

// failure is the kind of what went wrong on our side or upstream; empty: nothing did. What the caller did wrong, or that it
// left, is no error of the server.
func failure(rec *proxy.Record) string {
	switch {
	case rec.Gone:
		return ""
	case rec.Cut || rec.Broken:
		return proxy.StreamCut.String()
	case rec.Status >= 500 && rec.Fault != "":
		return string(rec.Fault)
	case rec.Status >= 500:
		return strconv.Itoa(rec.Status)
	default:
		return ""
	}
}

func fail(span trace.Span, kind string) {
	if kind != "" {
		span.SetAttributes(attribute.String("error.type", kind))
		span.SetStatus(codes.Error, "")
	}
}
