package app

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"openai-api-proxy/pkg/edge"
	"openai-api-proxy/pkg/state"
)

// joinEvery is the time between two tries of a Redis that does not answer at the start.
const joinEvery = 500 * time.Millisecond

// membership is the part that a replica takes in its fleet, until it leaves.
type membership struct {
	end  context.CancelFunc // nil: it never tried to join
	done sync.WaitGroup
}

// leave ends the watching, or the waiting for Redis.
func (m *membership) leave() error {
	if m.end != nil {
		m.end()
	}
	m.done.Wait()
	return nil
}

// join makes the proxy ready. With a Redis that does not answer it goes on trying, and meanwhile the proxy is alive but not
// ready. A state that a newer version wrote is not touched.
func (a *App) join(ctx context.Context, metrics *prometheus.Registry) error {
	a.register(metrics)
	if a.fleet == nil {
		a.edge.Ready()
		return nil
	}
	a.fleet.Describe(a.describe)
	err := a.meet(ctx)
	if err != nil && !errors.Is(err, state.ErrUnavailable) {
		return err
	}
	if err != nil {
		a.log.Error("not ready: redis does not answer", "error", err)
	}
	ctx, a.member.end = context.WithCancel(context.Background())
	a.member.done.Go(func() { a.belong(ctx, err == nil) })
	return nil
}

// meet is one try to learn what the fleet knows.
func (a *App) meet(ctx context.Context) error {
	if err := a.fleet.Ping(ctx); err != nil {
		return err
	}
	if err := a.catalog.Sync(ctx); err != nil {
		return err
	}
	if err := a.keys.Restore(ctx); err != nil {
		return err
	}
	a.live.met.Store(true)
	a.catalog.Republish()
	a.edge.Ready()
	return nil
}

// belong watches the fleet until the context ends, once it has met it.
func (a *App) belong(ctx context.Context, met bool) {
	tick := time.NewTicker(joinEvery)
	defer tick.Stop()
	for !met {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		a.fleet.Describe(a.describe)
		err := a.meet(ctx)
		if met = err == nil; met {
			a.log.Info("ready: redis answers")
		} else if !errors.Is(err, state.ErrUnavailable) {
			a.log.Error("not ready", "error", err)
		}
	}
	stop := a.fleet.Watch(a.keys, a)
	<-ctx.Done()
	stop()
}

// replicas is how many replicas share the limits.
func (a *App) replicas() int {
	if a.fleet == nil {
		return 1
	}
	return a.fleet.Replicas()
}

// configurations is how many different configurations the replicas run.
func (a *App) configurations() int {
	if a.fleet == nil {
		return 1
	}
	return a.fleet.Configurations()
}

func (a *App) stateKind() string {
	if a.fleet == nil {
		return "embedded"
	}
	return "redis"
}

// unshared reports whether this looks like one of several replicas that know nothing of one another: an orchestrator runs
// it and there is no Redis.
func (a *App) unshared() bool {
	return a.fleet == nil && os.Getenv("KUBERNETES_SERVICE_HOST") != ""
}

func (a *App) stateHealth() edge.StateHealth {
	h := edge.StateHealth{Kind: a.stateKind(), OK: true, Replicas: a.replicas(), Unshared: a.unshared()}
	if a.fleet != nil {
		if since := a.fleet.DegradedSince(); !since.IsZero() {
			h.OK, h.DegradedSince = false, &since
		}
	}
	return h
}

// register adds the metrics of the state, and says it loudly when it may be unshared.
func (a *App) register(metrics *prometheus.Registry) {
	gauge := func(name, help string, value func() float64) {
		metrics.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
	}
	gauge("oap_state_degraded", "1 while the shared state does not answer.", func() float64 { return one(!a.stateHealth().OK) })
	gauge("oap_state_unshared", "1 when several replicas may run, each with a state of its own.", func() float64 { return one(a.unshared()) })
	gauge("oap_replicas", "Replicas that share the state, as far as is known.", func() float64 { return float64(a.replicas()) })
	gauge("oap_config_versions", "Different configurations that the replicas run, as far as is known.", func() float64 { return float64(a.configurations()) })
	a.roundTrips(metrics)
	if a.unshared() {
		a.log.Error("NOT SHARED: an orchestrator runs this and REDIS_URL is not set; with more than one replica every limit " +
			"counts once for each of them. Set REDIS_URL, and REQUIRE_REDIS=true so that this cannot happen again")
	}
}

// roundTrips counts how often Redis is asked, and says which replica tells so: behind a load balancer one cannot know.
func (a *App) roundTrips(metrics *prometheus.Registry) {
	metrics.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "oap_replica_info", Help: "Always 1; says which replica this is.",
		ConstLabels: prometheus.Labels{"id": a.replicaID(), "version": a.Version}}, func() float64 { return 1 }))
	if a.fleet == nil {
		return
	}
	trips := func(client string, value func() int64) {
		metrics.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "oap_state_round_trips_total",
			Help:        "Commands and pipelines sent to Redis: by what requests wait for (hot) and by all else (slow).",
			ConstLabels: prometheus.Labels{"client": client}}, func() float64 { return float64(value()) }))
	}
	trips("hot", func() int64 { hot, _ := a.fleet.RoundTrips(); return hot })
	trips("slow", func() int64 { _, slow := a.fleet.RoundTrips(); return slow })
}

func one(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
