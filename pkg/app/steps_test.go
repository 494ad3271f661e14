package app_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/ulule/limiter/v3"

	"openai-api-proxy/pkg/admission"
	"openai-api-proxy/pkg/auth"
	"openai-api-proxy/pkg/balancer"
	"openai-api-proxy/pkg/openai"
	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state/memstate"
	"openai-api-proxy/pkg/usage"
)

// step is a part of the way of a request.
type step struct {
	name string
	most float64 // allocations
	do   func()
}

// steps are those that are the proxy's own, each as a small chat needs it.
func steps(tb testing.TB) []step {
	log, ctx := slog.New(slog.DiscardHandler), tb.Context()
	store := memstate.New()
	tb.Cleanup(func() { store.Close() })
	client := &proxy.Client{ID: "team", Enabled: true, RPM: 10_000_000, Burst: 10_000_000, TPM: 1_000_000_000}
	gate := auth.New(auth.Options{Failures: auth.NewFailureStore(), Rate: limiter.Rate{Period: time.Minute, Limit: 30}, Log: log,
		Metrics: prometheus.NewRegistry()}).With([]auth.Credential{{Hash: proxy.NewSecret(clientToken).Hash(), Client: client}})
	header, addr := http.Header{"Authorization": {"Bearer " + clientToken}}, netip.MustParseAddr("192.0.2.7")
	table, err := openai.NewOperations(nil, nil)
	if err != nil {
		tb.Fatal(err)
	}
	op, _ := table.Match("POST", "/v1/chat/completions")
	permits := admission.New(store, admission.Options{Lease: true, Log: log, Metrics: prometheus.NewRegistry()})
	tb.Cleanup(func() { permits.Close() })
	head := openai.ReadHead([]byte(plain))
	ask := admission.Ask{Op: &op.Op, Head: &head, Length: int64(len(plain))}
	admit := func() {
		permit, err := permits.Admit(ctx, client, ask)
		if err != nil {
			tb.Fatal(err)
		}
		permit.Header(http.Header{})
		permit.Settle(ctx, admission.Spent{Usage: openai.Usage{Input: 19, Output: 100, Basis: openai.Exact}})
	}
	heat(admit)
	meter := usage.New(store, usage.Options{Log: log, Metrics: prometheus.NewRegistry()})
	tb.Cleanup(func() { meter.Close() })
	rec := &proxy.Record{ID: "req_test", Start: time.Now(), Method: "POST", Operation: "/v1/chat/completions", Client: "team",
		Model: "gpt-4o-mini", Status: 200, Key: "k1", Attempts: []proxy.Attempt{{Key: "k1", Account: "a"}}}
	tap := openai.NewTap("application/json")
	return []step{
		{"authenticate", 1, func() {
			if _, err := gate.Client(ctx, header, addr); err != nil {
				tb.Fatal(err)
			}
		}},
		{"find the operation", 0, func() { _, _ = table.Match("POST", "/v1/chat/completions") }},
		{"read the head", 2, func() { openai.ReadHead([]byte(plain)) }},
		{"admit, leased, and settle", 4, admit},
		{"pick among 10", 2, picking(ctx, tb, 10)},
		{"pick among 10,000", 2, picking(ctx, tb, 10_000)},
		{"read the answer's usage", 0, func() { tap.Reset("application/json"); tap.Write(cannedBody); tap.Usage() }},
		{"record", 0, func() { meter.Record(rec) }},
	}
}

// heat makes a client hot, so that it is served from a lease.
func heat(admit func()) {
	for begin := time.Now(); time.Since(begin) < 2500*time.Millisecond; time.Sleep(5 * time.Millisecond) {
		admit()
	}
}

func picking(ctx context.Context, tb testing.TB, n int) func() {
	keys := make([]*proxy.Key, n)
	for i := range keys {
		keys[i] = &proxy.Key{ID: keyNumber(i), Account: keyNumber(i), Enabled: true, Weight: 1, Endpoint: "http://127.0.0.1:1"}
	}
	store := memstate.New()
	b := balancer.New(balancer.Options{Store: store, Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry()})
	tb.Cleanup(func() { b.Close(); store.Close() })
	view := b.Configure(balancer.Pool{Keys: keys, Strategy: "roundrobin", Policy: balancer.Policy{FailureThreshold: 5,
		OpenTimeout: time.Second, MaxRest: time.Minute}})
	return func() {
		p, err := view.Pick(ctx, balancer.Ask{Model: "gpt-4o-mini"})
		if err != nil {
			tb.Fatal(err)
		}
		p.Report(proxy.Verdict{Outcome: proxy.Served, Status: 200})
		p.Close()
	}
}

// TestStepsAllocate fails when a step of the way allocates more than it did.
func TestStepsAllocate(t *testing.T) {
	withoutRace(t)
	for _, s := range steps(t) {
		s.do()
		if n := testing.AllocsPerRun(1000, s.do); n > s.most {
			t.Errorf("%s: %v allocations, and it were %v", s.name, n, s.most)
		} else {
			t.Logf("%s: %v allocations", s.name, n)
		}
	}
}

func BenchmarkSteps(b *testing.B) {
	for _, s := range steps(b) {
		b.Run(s.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s.do()
			}
		})
	}
}
