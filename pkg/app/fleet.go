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

// join loads what is known of the keys and makes the proxy ready. The embedded state is there or fails; a Redis that does
// not answer is asked again until it does, and meanwhile the proxy is alive but not ready. A state that a newer version
// wrote is not touched.
func (a *App) join(ctx context.Context, metrics *prometheus.Registry) error {
	a.register(metrics)
	if a.fleet == nil {
		if err := a.keys.Restore(ctx); err != nil {
			return err
		}
		a.edge.SetReady(true)
		return nil
	}
	stop, err := a.meet(ctx)
	if err == nil {
		a.onStop("watching the fleet", func() error { stop(); return nil })
		return nil
	}
	if !errors.Is(err, state.ErrUnavailable) {
		return err
	}
	a.log.Error("not ready: redis does not answer", "error", err)
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() { a.meetLater(ctx) })
	a.onStop("waiting for redis", func() error {
		cancel()
		done.Wait()
		return nil
	})
	return nil
}

// meet is one try to become one of the fleet; stop ends it.
func (a *App) meet(ctx context.Context) (stop func(), err error) {
	if err := a.fleet.Ping(ctx); err != nil {
		return nil, err
	}
	if err := a.keys.Restore(ctx); err != nil {
		return nil, err
	}
	stop = a.fleet.Watch(a.keys)
	a.edge.SetReady(true)
	return stop, nil
}

// meetLater tries until it is one of the fleet, and then is until the context ends.
func (a *App) meetLater(ctx context.Context) {
	tick := time.NewTicker(joinEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			stop, err := a.meet(ctx)
			if err == nil {
				a.log.Info("ready: redis answers")
				<-ctx.Done()
				stop()
				return
			}
			if !errors.Is(err, state.ErrUnavailable) {
				a.log.Error("not ready", "error", err)
			}
		}
	}
}

// replicas is how many replicas share the limits.
func (a *App) replicas() int {
	if a.fleet == nil {
		return 1
	}
	return a.fleet.Replicas()
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
	if a.unshared() {
		a.log.Error("NOT SHARED: an orchestrator runs this and REDIS_URL is not set; with more than one replica every limit " +
			"counts once for each of them. Set REDIS_URL, and REQUIRE_REDIS=true so that this cannot happen again")
	}
}

func one(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
