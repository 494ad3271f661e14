package app

import (
	"context"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/ulule/limiter/v3"

	"openai-api-proxy/pkg/admin"
	"openai-api-proxy/pkg/admission"
	"openai-api-proxy/pkg/auth"
	"openai-api-proxy/pkg/balancer"
	"openai-api-proxy/pkg/edge"
	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/trace"
	"openai-api-proxy/pkg/upstream"
	"openai-api-proxy/pkg/usage"
)

// The parts of a proxy, in the order in which Start makes them. Each registers at once how it ends.

func newRegistry() *prometheus.Registry {
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return metrics
}

// openState opens the state, and begins what counts into it, whose journal is given up last: only when the state was closed
// has it for good what it was told.
func (a *App) openState(metrics *prometheus.Registry) (err error) {
	if a.store, a.fleet, err = openStore(a.cfg, a.log, a.Redis); err != nil {
		return err
	}
	a.meter = usage.New(a.store, usage.Options{Replica: a.replicaID(), Journal: a.journals(), Log: a.log, Metrics: metrics})
	a.onStop("journal", a.meter.Leave)
	a.onStop("state", a.store.Close)
	a.onStop("usage", a.meter.Close)
	return nil
}

func (a *App) owners(metrics *prometheus.Registry) *auth.Owners {
	owners := auth.NewOwners(auth.OwnersOptions{Store: a.store, Log: a.log, Metrics: metrics})
	a.onStop("owners of objects", owners.Close)
	return owners
}

func (a *App) upstream() *upstream.Client {
	up := upstream.New(upstream.Options{IdleTimeout: a.cfg.StreamIdleTimeout, WriteTimeout: writeTimeout,
		Mask: a.live.maskSecrets, Proxy: http.ProxyFromEnvironment, OnlyHTTP1: a.cfg.UpstreamHTTP == "1.1"})
	a.onStop("upstream", up.Close)
	return up
}

func (a *App) balancer(up *upstream.Client, metrics *prometheus.Registry) *balancer.Balancer {
	keys := balancer.New(balancer.Options{Store: a.store, Confirm: up.Confirm, LeaseCursor: a.fleet != nil,
		Replicas: a.replicas, Log: a.log, Metrics: metrics})
	a.onStop("balancer", func() error { keys.Close(); return nil })
	return keys
}

// failures is where failed authentications are counted: all replicas count together.
func (a *App) failures() limiter.Store {
	if a.fleet != nil {
		return a.fleet.Limiter()
	}
	return auth.NewFailureStore()
}

// tokens are those of operators.
func (a *App) tokens(gate *auth.Gate) (*auth.Tokens, error) {
	token, err := a.adminToken()
	if err != nil {
		return nil, err
	}
	return auth.NewAdmin(auth.AdminOptions{Token: token, Metrics: a.cfg.MetricsToken, Gate: gate}), nil
}

func (a *App) admission(metrics *prometheus.Registry) *admission.Admission {
	permits := admission.New(a.store, admission.Options{Replicas: a.replicas, Lease: a.fleet != nil, Log: a.log, Metrics: metrics})
	a.onStop("admission", permits.Close)
	return permits
}

// traces is who is told of finished requests; nil: nobody wants traces.
func (a *App) traces(ctx context.Context, metrics *prometheus.Registry) (func(*proxy.Record, http.Header), error) {
	if a.cfg.TraceEndpoint == "" {
		return nil, nil
	}
	t, err := trace.New(ctx, trace.Options{Endpoint: a.cfg.TraceEndpoint, Header: a.cfg.TraceHeader(), Version: a.Version, Replica: a.replicaID(),
		Upstream: a.endpoint, Log: a.log, Metrics: metrics})
	if err != nil {
		return nil, err
	}
	a.onStop("traces", t.Close)
	return t.Record, nil
}

// endpoint is where the requests of a key go; empty: it is gone.
func (a *App) endpoint(key string) string {
	k, found := a.catalog.Current().Key(key)
	if !found {
		return ""
	}
	return k.Endpoint
}

// callers is the public surface.
func (a *App) callers(tell func(*proxy.Record, http.Header), metrics *prometheus.Registry) *edge.Edge {
	callers := edge.New(edge.Options{Trace: tell, Usage: a.meter, Health: a.health, TrustedProxies: a.cfg.TrustedProxies,
		CORSOrigins: a.cfg.CORSOrigins, MaxBody: a.cfg.MaxBodyBytes, KeepBodies: a.cfg.RequestLogBodies, Mask: a.live.maskSecrets,
		Operator: a.operators.Admin, Log: a.log, AccessLog: a.AccessLog, Metrics: metrics})
	a.onStop("access log", func() error { callers.Close(); return nil })
	return callers
}

// listen serves callers and operators. Both addresses are taken before anything is served: a replica tells operators where
// callers find it.
func (a *App) listen(console *admin.API) (err error) {
	if a.public, err = a.bind("callers", a.cfg.Listen); err != nil {
		return err
	}
	if a.cfg.AdminAddr == "" {
		console.Mount(a.edge.Engine())
	} else {
		engine := a.edge.NewEngine()
		console.Mount(engine)
		if a.private, err = a.bind("operators", a.cfg.AdminAddr); err != nil {
			return err
		}
		a.serve(a.private, engine)
	}
	a.serve(a.public, a.edge.Engine())
	a.onStop("streams of events", console.Close) // before the listeners wait for what they serve
	return nil
}
