package trace

import (
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	collector "go.opentelemetry.io/proto/slim/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/slim/otlp/common/v1"
	resource "go.opentelemetry.io/proto/slim/otlp/resource/v1"
	otlp "go.opentelemetry.io/proto/slim/otlp/trace/v1"
)

// message is a batch as the protocol has it. All spans come from one tracer, so there is one resource and one scope; they
// have neither events nor links, since ours have none.
func message(spans []sdk.ReadOnlySpan) *collector.ExportTraceServiceRequest {
	all := make([]*otlp.Span, len(spans))
	for i, s := range spans {
		all[i] = wire(s)
	}
	m := &otlp.ResourceSpans{ScopeSpans: []*otlp.ScopeSpans{{Spans: all}}}
	if len(spans) > 0 {
		scope := spans[0].InstrumentationScope()
		m.ScopeSpans[0].Scope = &common.InstrumentationScope{Name: scope.Name, Version: scope.Version}
		m.Resource = &resource.Resource{Attributes: pairs(spans[0].Resource().Attributes())}
	}
	return &collector.ExportTraceServiceRequest{ResourceSpans: []*otlp.ResourceSpans{m}}
}

func wire(s sdk.ReadOnlySpan) *otlp.Span {
	own, parent := s.SpanContext(), s.Parent()
	id, span := own.TraceID(), own.SpanID()
	w := &otlp.Span{TraceId: id[:], SpanId: span[:], TraceState: own.TraceState().String(), Flags: uint32(own.TraceFlags()),
		Name: s.Name(), Kind: kinds[s.SpanKind()], StartTimeUnixNano: uint64(s.StartTime().UnixNano()),
		EndTimeUnixNano: uint64(s.EndTime().UnixNano()), Attributes: pairs(s.Attributes()),
		DroppedAttributesCount: uint32(s.DroppedAttributes())}
	if parent.SpanID().IsValid() {
		above := parent.SpanID()
		w.ParentSpanId = above[:]
	}
	if s.Status().Code == codes.Error {
		w.Status = &otlp.Status{Code: otlp.Status_STATUS_CODE_ERROR, Message: s.Status().Description}
	}
	return w
}

var kinds = map[trace.SpanKind]otlp.Span_SpanKind{trace.SpanKindServer: otlp.Span_SPAN_KIND_SERVER,
	trace.SpanKindClient: otlp.Span_SPAN_KIND_CLIENT, trace.SpanKindInternal: otlp.Span_SPAN_KIND_INTERNAL}

func pairs(all []attribute.KeyValue) []*common.KeyValue {
	to := make([]*common.KeyValue, len(all))
	for i, kv := range all {
		to[i] = &common.KeyValue{Key: string(kv.Key), Value: value(kv.Value)}
	}
	return to
}

// value is one of the kinds that spans.go makes; of any other, its text.
func value(v attribute.Value) *common.AnyValue {
	switch v.Type() {
	case attribute.BOOL:
		return &common.AnyValue{Value: &common.AnyValue_BoolValue{BoolValue: v.AsBool()}}
	case attribute.INT64:
		return &common.AnyValue{Value: &common.AnyValue_IntValue{IntValue: v.AsInt64()}}
	case attribute.FLOAT64:
		return &common.AnyValue{Value: &common.AnyValue_DoubleValue{DoubleValue: v.AsFloat64()}}
	default:
		return &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: v.Emit()}}
	}
}
