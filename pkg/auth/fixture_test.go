package auth

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/ulule/limiter/v3"
	"github.com/ulule/limiter/v3/drivers/store/memory"

	"openai-api-proxy/pkg/proxy"
)

var home = netip.MustParseAddr("10.1.2.3")

// failing is a limiter store that cannot answer.
type failing struct{ limiter.Store }

func (failing) Increment(context.Context, string, int64, limiter.Rate) (limiter.Context, error) {
	return limiter.Context{}, errors.New("store is away")
}

// windows counts in memory without a janitor, so that a test leaves no goroutine behind.
func windows() limiter.Store { return memory.NewStoreWithOptions(limiter.StoreOptions{}) }

// open makes a gate for the clients, whose tokens are "sk-test-" and their id.
func open(store limiter.Store, clients ...*proxy.Client) *Gate {
	o := Options{Failures: store, Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry()}
	var all []Credential
	for _, c := range clients {
		all = append(all, Credential{Hash: proxy.NewSecret("sk-test-" + c.ID).Hash(), Client: c})
	}
	return New(o).With(all)
}

// value reads a counter.
func value(t *testing.T, c prometheus.Counter) float64 {
	t.Helper()
	reg := prometheus.NewRegistry()
	reg.MustRegister(c)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return families[0].GetMetric()[0].GetCounter().GetValue()
}

func bearing(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }

// faultOf is the fault that err is.
func faultOf(t *testing.T, err error) *proxy.Fault {
	t.Helper()
	var f *proxy.Fault
	if !errors.As(err, &f) {
		t.Fatalf("error is %v, not a fault", err)
	}
	return f
}
