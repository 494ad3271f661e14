package trace

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	sdk "go.opentelemetry.io/otel/sdk/trace"
)

// between two lines in the log that a collector takes no spans.
const between = time.Minute

// delivery brings spans to the collector and tells when that fails, which the library would tell a handler that all of the
// process shares.
type delivery struct {
	sdk.SpanExporter
	o    Options
	lost prometheus.Counter

	mu   sync.Mutex // guards told
	told time.Time  // when the log was last told
}

func newDelivery(to sdk.SpanExporter, o Options) *delivery {
	d := &delivery{SpanExporter: to, o: o, lost: prometheus.NewCounter(prometheus.CounterOpts{
		Name: "oap_trace_spans_lost_total", Help: "Spans that the collector did not take."})}
	o.Metrics.MustRegister(d.lost)
	return d
}

// ExportSpans hands a batch over, trying again while the library allows it. It never fails: what is lost is lost.
func (d *delivery) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	err := d.SpanExporter.ExportSpans(ctx, spans)
	if err == nil {
		return nil
	}
	lost := int64(len(spans))
	if some := (*partly)(nil); errors.As(err, &some) {
		lost = some.spans
	}
	d.lost.Add(float64(lost))
	d.mu.Lock()
	defer d.mu.Unlock()
	if now := time.Now(); now.Sub(d.told) >= between {
		d.told = now
		d.o.Log.Warn("traces are lost", "collector", d.o.Endpoint, "spans", lost, "error", err)
	}
	return nil
}
