// Package trace tells an OpenTelemetry collector how requests went: one span for the request, one for the model's operation
// (GenAI conventions), and one for each attempt at the upstream. No span has a prompt, an answer, a key or a token.
//
// Spans are made from the record when a request has ended, with the times that are in it. So nothing of this is on the
// request's way: without a collector there is one comparison with nil, and with one the caller has been answered already.
// The price is that the caller's traceparent is continued but not passed on: an upstream that traces does not see ours.
//
// What the standard's variables say of the service, of sampling and of batches (OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES,
// OTEL_TRACES_SAMPLER, OTEL_BSP_...) the library reads itself.
package trace

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"openai-api-proxy/pkg/proxy"
)

// closing is how long Close waits for a collector that does not answer.
const closing = 5 * time.Second

// Options are the parts and settings of a Tracer.
type Options struct {
	Endpoint string                  // of the collector, without /v1/traces
	Header   http.Header             // what the collector wants to let us in
	Version  string                  // of the proxy
	Replica  string                  // which one this is
	Upstream func(key string) string // base URL of a key; empty: it is gone
	Log      *slog.Logger
	Metrics  prometheus.Registerer
}

// Tracer makes spans of records.
type Tracer struct {
	Options
	provider *sdk.TracerProvider
	spans    trace.Tracer
}

// New makes a Tracer. The collector need not be there: what cannot be delivered is lost, and counted.
func New(ctx context.Context, o Options) (*Tracer, error) {
	about, err := resource.New(ctx, resource.WithAttributes(attribute.String("service.name", "openai-api-proxy"),
		attribute.String("service.version", o.Version), attribute.String("service.instance.id", o.Replica)), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("describing this replica in traces: %w", err)
	}
	provider := sdk.NewTracerProvider(sdk.WithResource(about), sdk.WithBatcher(newDelivery(newExporter(o.Endpoint, o.Header), o)))
	return &Tracer{o, provider, provider.Tracer("openai-api-proxy", trace.WithInstrumentationVersion(o.Version))}, nil
}

// Close delivers what is still to be told, if the collector lets it.
func (t *Tracer) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closing)
	defer cancel()
	_ = t.provider.Shutdown(ctx) // what was lost has been counted and told
	return nil
}

// Record tells of a finished request. The header is the caller's: its traceparent says whose span ours is below.
func (t *Tracer) Record(rec *proxy.Record, header http.Header) {
	ctx := propagation.TraceContext{}.Extract(context.Background(), propagation.HeaderCarrier(header))
	ctx, whole := t.spans.Start(ctx, rec.Method+" "+rec.Operation, trace.WithSpanKind(trace.SpanKindServer), trace.WithTimestamp(rec.Start))
	if !whole.IsRecording() {
		return // not sampled, and so are those below
	}
	whole.SetAttributes(request(rec)...)
	fail(whole, failure(rec))
	t.operation(ctx, rec)
	whole.End(trace.WithTimestamp(rec.Start.Add(rec.Total)))
}

// operation tells of what the model did, all attempts together.
func (t *Tracer) operation(ctx context.Context, rec *proxy.Record) {
	if len(rec.Attempts) == 0 {
		return // the proxy answered by itself
	}
	name := operations[rec.Operation]
	if name == "" { // files, batches and the like
		t.attempts(ctx, rec)
		return
	}
	ctx, span := t.spans.Start(ctx, strings.TrimSpace(name+" "+rec.Model), trace.WithSpanKind(trace.SpanKindClient),
		trace.WithTimestamp(rec.Start.Add(rec.Attempts[0].Began)))
	span.SetAttributes(inference(name, rec)...)
	span.SetAttributes(t.server(rec.Key)...)
	fail(span, failure(rec))
	t.attempts(ctx, rec)
	span.End(trace.WithTimestamp(rec.Start.Add(rec.Total)))
}

// attempts tells of each try. The one whose answer went to the caller lasts until that was over.
func (t *Tracer) attempts(ctx context.Context, rec *proxy.Record) {
	for i := range rec.Attempts {
		a := &rec.Attempts[i]
		start := rec.Start.Add(a.Began)
		end := start.Add(a.Took)
		if i == len(rec.Attempts)-1 && a.Status != 0 {
			end = rec.Start.Add(rec.Total)
		}
		_, span := t.spans.Start(ctx, rec.Method, trace.WithSpanKind(trace.SpanKindClient), trace.WithTimestamp(start))
		span.SetAttributes(attempt(rec.Method, i, a)...)
		span.SetAttributes(t.server(a.Key)...)
		if a.Outcome != proxy.Served {
			fail(span, a.Outcome.String())
		}
		span.End(trace.WithTimestamp(end))
	}
}
