// Package app wires every part in one readable function, starts them, and stops them in reverse order. A test can start
// several in one process: nothing here is global.
package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/ulule/limiter/v3"

	"openai-api-proxy/pkg/alert"
	"openai-api-proxy/pkg/auth"
	"openai-api-proxy/pkg/balancer"
	"openai-api-proxy/pkg/catalog"
	"openai-api-proxy/pkg/config"
	"openai-api-proxy/pkg/edge"
	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/relay"
	"openai-api-proxy/pkg/state"
	"openai-api-proxy/pkg/state/redisstate"
	"openai-api-proxy/pkg/usage"
)

const (
	// writeTimeout is how long a caller may leave one write unread.
	writeTimeout = 30 * time.Second
	// headTimeout is how long a caller may take to send the head of a request.
	headTimeout = 10 * time.Second
	// keepAlive is how long a connection without requests stays open.
	keepAlive = 2 * time.Minute
	// mostHead bounds the head of a request, in bytes.
	mostHead = 64 << 10
	// failedLogins are the failed authentications an address may have in a minute.
	failedLogins = 30
)

// Options are what a proxy is started with beside its configuration.
type Options struct {
	Version string
	// Load reads the configuration anew; nil: it stays as it is.
	Load func() (*config.Config, error)
	Log  *slog.Logger
	// AccessLog takes the line of each request as JSON, which costs less than Log does; nil: they go through Log.
	AccessLog io.Writer
	// Redis is what the shared state is to know beside what the configuration says.
	Redis []redisstate.Option
}

// App is a running proxy.
type App struct {
	lifecycle
	Options
	cfg     *config.Config // that it was started with: what cannot change while it runs
	log     *slog.Logger
	started time.Time
	id      string // where there is no fleet

	store     state.Store
	fleet     *redisstate.Store // the same; nil: embedded, one instance
	member    membership
	catalog   *catalog.Catalog
	follower  *catalog.Follower
	reloads   reloads
	live      live
	meter     *usage.Meter
	keys      *balancer.Balancer
	operators *auth.Tokens
	madeToken proxy.Secret // the admin token that was made here
	alerts    *alert.Watch
	edge      *edge.Edge
	public    *listener
	private   *listener // nil: operators come through the public port
}

// Start wires the parts and serves until Stop. It is one straight line on purpose: each step may use all that was made
// before it, and what it makes is undone in reverse order. The steps are in parts.go.
func Start(ctx context.Context, cfg *config.Config, o Options) (_ *App, err error) {
	log := o.Log
	a := &App{Options: o, cfg: cfg, log: log, started: time.Now(), id: newID()}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.unwind())
		}
	}()
	metrics := newRegistry()
	if err = a.openState(metrics); err != nil {
		return nil, err
	}
	owners := a.owners(metrics)
	up := a.upstream()
	a.keys = a.balancer(up, metrics)
	// Registered before the listeners, so that the fleet is heard until the last request is served.
	a.onStop("member of the fleet", a.member.leave)

	failures := a.failures()
	gate := auth.New(auth.Options{Failures: failures, Rate: limiter.Rate{Period: time.Minute, Limit: failedLogins}, Log: log, Metrics: metrics})
	if a.operators, err = a.tokens(gate); err != nil {
		return nil, err
	}
	permits := a.admission(metrics)
	spine := relay.New(relay.Options{Admission: permits, Upstream: up, Owners: owners, Log: log, Metrics: metrics})
	tell, err := a.traces(ctx, metrics)
	if err != nil {
		return nil, err
	}
	a.edge = a.callers(tell, metrics)
	a.live.parts(a, gate, spine)
	if err = a.configure(ctx, metrics); err != nil {
		return nil, err
	}
	a.alerts = a.newWatch(permits, metrics)
	if err = a.listen(a.console(permits, owners, failures, metrics)); err != nil {
		return nil, err
	}
	if err = a.join(ctx, metrics); err != nil {
		return nil, err
	}
	a.greet()
	return a, nil
}

// Addr is the address that callers use.
func (a *App) Addr() string { return a.public.addr() }

// AdminAddr is the address that operators use.
func (a *App) AdminAddr() string {
	if a.private == nil {
		return a.Addr()
	}
	return a.private.addr()
}

// KeyState is the state of a key, by id; empty when there is none.
func (a *App) KeyState(id string) string {
	for _, s := range a.keys.States() {
		if s.Key.ID == id {
			return s.State
		}
	}
	return ""
}

// greet says where to call and with what.
func (a *App) greet() {
	now := a.catalog.Current()
	mode := "client tokens"
	if now.ByKeys {
		mode = "upstream keys" // the v1 way
	}
	for _, w := range a.cfg.Warnings {
		a.log.Warn("configuration", "warning", w)
	}
	a.log.Info("serving", "address", a.Addr(), "version", a.Version, "keys", len(now.Keys),
		"strategy", now.Settings.Strategy, "auth", mode, "state", a.stateKind(), "data", a.cfg.DataDir)
}

// Stop drains and stops: readiness goes off and every answer ends its connection; in a fleet requests are still taken for
// DRAIN_DELAY, until load balancers have heard. Then no new connection is taken, running requests may finish within
// DRAIN_TIMEOUT, what is left is cut, everything is written. It may be called more than once.
func (a *App) Stop() error {
	if a.edge.Leave() && a.fleet != nil {
		a.log.Info("leaving", "for", a.cfg.DrainDelay)
		time.Sleep(a.cfg.DrainDelay)
	}
	a.log.Info("draining", "timeout", a.cfg.DrainTimeout)
	return a.unwind()
}

// listener serves one address.
type listener struct {
	name string // whom it is for
	from net.Listener
}

func (l *listener) addr() string { return l.from.Addr().String() }

// bind takes the address.
func (a *App) bind(name, addr string) (*listener, error) {
	from, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listening for %s: %w", name, err)
	}
	a.onStop("address for "+name, func() error {
		if err := from.Close(); !errors.Is(err, net.ErrClosed) { // whoever served it closed it
			return err
		}
		return nil
	})
	return &listener{name, from}, nil
}

// serve serves the handler on the address until Stop.
func (a *App) serve(l *listener, h http.Handler) {
	base, cut := context.WithCancelCause(context.Background())
	s := &http.Server{Handler: h, ReadHeaderTimeout: headTimeout, IdleTimeout: keepAlive, MaxHeaderBytes: mostHead,
		BaseContext: func(net.Listener) context.Context { return base },
		ErrorLog:    slog.NewLogLogger(a.log.Handler(), slog.LevelDebug)}
	ended := make(chan error, 1)
	go func() {
		err := edge.Serve(s, l.from)
		if !errors.Is(err, http.ErrServerClosed) {
			a.log.Error("no longer listening", "for", l.name, "error", err)
		}
		ended <- err
	}()
	a.onStop(l.name, func() error {
		stop := func(ctx context.Context) error {
			if err := s.Shutdown(ctx); err != nil || l != a.public {
				return err
			}
			return a.edge.WaitForSockets(ctx) // which are no connections of the server any more
		}
		err := drain(stop, a.cfg.DrainTimeout, func() { cut(edge.ErrDraining) })
		if errors.Is(err, context.DeadlineExceeded) {
			err = s.Close()
		}
		if served := <-ended; !errors.Is(served, http.ErrServerClosed) {
			err = errors.Join(err, served)
		}
		return err
	})
}

// settleTime is how long requests that were cut may take to report and settle.
const settleTime = 2 * time.Second

// drain stops within the timeout, or cuts what takes longer. Its error is a deadline exceeded when even that was not enough.
func drain(stop func(context.Context) error, timeout time.Duration, cut func()) error {
	defer cut()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	err := stop(ctx)
	if err == nil || !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	cut()
	ctx, cancel = context.WithTimeout(context.Background(), settleTime)
	defer cancel()
	return stop(ctx)
}
