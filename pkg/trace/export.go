package trace

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	collector "go.opentelemetry.io/proto/slim/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"
)

const (
	oneTry    = 10 * time.Second // for one answer of the collector
	firstWait = time.Second      // before the second try, then doubling
	mostWait  = 10 * time.Second
	mostSaid  = 64 << 10 // bytes read of an answer
)

// exporter brings spans to a collector by OTLP over HTTP, in protobuf. The library's own would do the same, but brings all of
// gRPC with it, which made the program half as large again.
type exporter struct {
	url    string
	header http.Header // what the collector wants to let us in
	client *http.Client
}

func newExporter(endpoint string, header http.Header) *exporter {
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute}
	return &exporter{endpoint + "/v1/traces", header, &http.Client{Transport: transport, Timeout: oneTry}}
}

// ExportSpans delivers a batch, trying again while the collector is away or busy and the context allows it.
func (e *exporter) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	body, err := proto.Marshal(message(spans))
	if err != nil {
		return fmt.Errorf("encoding spans: %w", err)
	}
	for wait := firstWait; ; wait = min(2*wait, mostWait) {
		after, err := e.send(ctx, body)
		if err == nil || after < 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(max(wait, min(after, mostWait))):
		}
	}
}

// Shutdown ends the connection.
func (e *exporter) Shutdown(context.Context) error {
	e.client.CloseIdleConnections()
	return nil
}

// send tries once. After an error it says how long to wait at least before the next try; negative: there is no use in one.
func (e *exporter) send(ctx context.Context, body []byte) (after time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url, bytes.NewReader(body))
	if err != nil {
		return -1, err
	}
	for name, values := range e.header {
		req.Header[name] = slices.Clone(values)
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	resp, err := e.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(io.LimitReader(resp.Body, mostSaid))
	switch {
	case resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode >= 502 && resp.StatusCode <= 504:
		seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
		return time.Duration(seconds) * time.Second, fmt.Errorf("the collector answered %s", resp.Status)
	case resp.StatusCode/100 != 2:
		return -1, fmt.Errorf("the collector answered %s", resp.Status)
	case err != nil:
		return -1, nil // it has them
	}
	return -1, rejected(said)
}

// rejected is what the collector did not take of a batch that it took.
func rejected(answer []byte) error {
	var a collector.ExportTraceServiceResponse
	if err := proto.Unmarshal(answer, &a); err != nil {
		return nil // it said that it took them, in whatever words
	}
	if n := a.GetPartialSuccess().GetRejectedSpans(); n > 0 {
		return &partly{n, a.PartialSuccess.ErrorMessage}
	}
	return nil
}

// partly is a batch of which some spans were not taken.
type partly struct {
	spans int64
	why   string
}

func (p *partly) Error() string {
	return fmt.Sprintf("the collector rejected %d spans: %.200q", p.spans, p.why)
}
