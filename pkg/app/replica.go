package app

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"time"

	"openai-api-proxy/pkg/admin"
	"openai-api-proxy/pkg/config"
	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
)

// refreshWithin bounds the wait for all replicas to read their configuration anew.
const refreshWithin = 5 * time.Second

// replicaID names this instance in what is remembered of requests and of what operators did.
func (a *App) replicaID() string {
	if a.fleet != nil {
		return a.fleet.ID()
	}
	return a.id
}

// newID is for an instance that has no fleet to name it.
func newID() string { return rand.Text() }

// describe is what this replica tells of itself.
func (a *App) describe() state.Replica {
	last, now := a.reloads.last.Load(), a.catalog.Current()
	host, _ := os.Hostname()
	r := state.Replica{ID: a.replicaID(), Host: host, Address: a.Addr(), Version: a.Version, Started: a.started,
		Ready: a.edge.IsReady(), Serving: a.edge.Serving(),
		Config: state.ReplicaConfig{Fingerprint: now.Base.Fingerprint(), Version: now.Version, Refreshed: last.order, Loaded: last.at}}
	if last.err != nil {
		r.Config.Error, r.Config.ErrorSince = last.err.Error(), &last.since
	}
	return r
}

// degradedSince is since when the shared state has not answered; zero: it does.
func (a *App) degradedSince() time.Time {
	if a.fleet == nil {
		return time.Time{}
	}
	return a.fleet.DegradedSince()
}

// fixed lists what needs a restart.
func (a *App) fixed() (all []admin.Fixed) {
	for _, s := range a.cfg.Fixed() {
		source := config.SourceEnvironment
		if s.Default {
			source = "default"
		}
		all = append(all, admin.Fixed{Name: s.Name, Value: s.Value, Source: source})
	}
	return all
}

// Replicas lists the instances that live, this one as it is now.
func (a *App) Replicas(ctx context.Context) ([]state.Replica, error) {
	own := a.describe()
	if a.fleet == nil {
		return []state.Replica{own}, nil
	}
	all, err := a.fleet.Fleet(ctx)
	if err != nil {
		return nil, stateFault(err)
	}
	for i := range all {
		if all[i].ID == own.ID {
			all[i] = own
			return all, nil
		}
	}
	return append(all, own), nil
}

// Refresh makes every replica read its configuration anew and tells how each of them is then: those that did not in time
// are at an order before the one returned.
func (a *App) Refresh(ctx context.Context) (order int64, all []state.Replica, err error) {
	if a.fleet == nil {
		_ = a.Reload("an operator") // how it went is in the description
		all, err = a.Replicas(ctx)
		return a.reloads.last.Load().order, all, err
	}
	if order, err = a.fleet.OrderRefresh(ctx); err != nil {
		return 0, nil, stateFault(err)
	}
	a.RefreshOrdered(order)
	ctx, cancel := context.WithTimeout(ctx, refreshWithin)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		all, err = a.Replicas(ctx)
		if err != nil || carriedOut(all, order) {
			return order, all, err
		}
		select {
		case <-ctx.Done():
			return order, all, nil
		case <-tick.C:
		}
	}
}

func carriedOut(all []state.Replica, order int64) bool {
	for _, r := range all {
		if r.Config.Refreshed < order {
			return false
		}
	}
	return true
}

// CatalogChanged hands a hint over to who follows the catalog.
func (a *App) CatalogChanged(version int64) { a.follower.CatalogChanged(version) }

// RefreshOrdered carries out an order of the fleet, in the background.
func (a *App) RefreshOrdered(order int64) {
	a.member.done.Go(func() {
		a.reloads.mu.Lock()
		defer a.reloads.mu.Unlock()
		if a.reloads.last.Load().order == order { // not "at least": a state that forgot begins again at 1
			return
		}
		_ = a.reloadLocked("an operator") // how it went is in the description
		done := *a.reloads.last.Load()
		done.order = order
		a.reloads.last.Store(&done)
		a.beat()
	})
}

// beat tells the fleet at once how this replica is.
func (a *App) beat() {
	if a.fleet == nil {
		return
	}
	a.fleet.SetConfiguration(a.catalog.Current().Base.Fingerprint())
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := a.fleet.BeatNow(ctx); err != nil {
		a.log.Debug("no heartbeat", "error", err)
	}
}

// stateFault is for operators who ask what only the state knows.
func stateFault(err error) error {
	if errors.Is(err, state.ErrUnavailable) {
		return &proxy.Fault{Kind: proxy.StateUnavailable, Public: "the shared state does not answer", Err: err}
	}
	return err
}
