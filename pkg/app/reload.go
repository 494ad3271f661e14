package app

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"openai-api-proxy/pkg/catalog"
	"openai-api-proxy/pkg/config"
	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/seal"
)

// lookEvery is how often the files of the configuration are read to find out whether they changed. Looking at what is in
// them, not at their times, finds every way of changing them: in place, by renaming, by the symlink of a ConfigMap. A
// change counts once two looks have seen the same, since a file may be half written.
const lookEvery = 500 * time.Millisecond

// reloads is what became of reading the configuration anew.
type reloads struct {
	counted *prometheus.CounterVec
	last    atomic.Pointer[reloaded]

	mu   sync.Mutex // held while the configuration is read and put in force; guards seen
	seen string     // fingerprint of the files that were loaded last, or could not be
}

// reloaded is how it stands.
type reloaded struct {
	at    time.Time // when the configuration in force was read
	order int64     // the last order of the fleet that was carried out
	err   error     // why what is there now is not in force
	since time.Time // when that was found out first
}

// configure makes the catalog and everything that follows it.
func (a *App) configure(ctx context.Context, metrics *prometheus.Registry) error {
	box, err := a.box()
	if err != nil {
		return err
	}
	a.reloads.counted = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "oap_config_reloads_total",
		Help: "Times that the configuration was read anew, by result."}, []string{"result"})
	metrics.MustRegister(a.reloads.counted, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "oap_config_error",
		Help: "1 while a configuration that has mistakes is there and an older one in force."},
		func() float64 { return one(a.configError() != nil) }))
	a.catalog = catalog.New(a.cfg, catalog.Options{Store: a.store, Box: box, Apply: a.live.use, Check: checkOperations,
		Replica: a.replicaID(), Log: a.log, Metrics: metrics})
	a.reloads.last.Store(&reloaded{at: time.Now()})
	a.reloads.seen = a.filesSeen()
	a.live.met.Store(a.fleet == nil)
	if err := checkOperations(&a.cfg.Settings); err != nil {
		return err
	}
	a.catalog.Republish()
	if a.fleet == nil {
		if err := errors.Join(a.catalog.Sync(ctx), a.keys.Restore(ctx)); err != nil {
			return fmt.Errorf("state: %w", err)
		}
	}
	a.follower = a.catalog.Follow()
	a.onStop("catalog", func() error { a.follower.Stop(); return nil })
	a.onStop("configuration", a.watchFiles())
	return nil
}

// box seals what is configured at run time: with the configured keys, or, where nobody else has to read it, with one that
// is made once.
func (a *App) box() (*seal.Box, error) {
	keys := a.cfg.EncryptionKeys
	if len(keys) == 0 && a.fleet == nil {
		key, err := a.madeOnce("encryption-key", seal.NewKey)
		if err != nil {
			return nil, err
		}
		keys = []proxy.Secret{key}
	}
	return seal.New(keys)
}

// Reload reads the configuration anew and puts it in force, wholly or not at all. The error has every mistake.
func (a *App) Reload(why string) error {
	a.reloads.mu.Lock()
	defer a.reloads.mu.Unlock()
	return a.reloadLocked(why)
}

func (a *App) reloadLocked(why string) error {
	if a.Load == nil {
		return nil
	}
	r := &a.reloads
	before := a.catalog.Current().Base
	cfg, err := a.loadSettledLocked()
	if err == nil {
		err = a.catalog.Rebase(cfg)
	}
	if err != nil {
		r.counted.WithLabelValues("failed").Inc()
		failed := *r.last.Load()
		if failed.err == nil {
			failed.since = time.Now()
		}
		failed.err = err
		r.last.Store(&failed)
		a.log.Error("the configuration has mistakes; the one before stays in force", "because", why, "error", err)
		return err
	}
	r.counted.WithLabelValues("ok").Inc()
	r.last.Store(&reloaded{at: time.Now(), order: r.last.Load().order})
	a.operators.Set(a.operatorToken(cfg), cfg.MetricsToken)
	if fixed := cfg.Pending(a.cfg); len(fixed) > 0 {
		a.log.Warn("these settings take effect after a restart", "settings", strings.Join(fixed, " "))
	}
	if cfg.Fingerprint() != before.Fingerprint() {
		a.beat()
		a.log.Info("configuration in force", "because", why, "version", cfg.Fingerprint(), "keys", len(cfg.Keys), "clients", len(cfg.Clients))
	}
	return nil
}

// loadSettledLocked reads the configuration, again when a file changed meanwhile: half of a file may be a configuration too.
func (a *App) loadSettledLocked() (cfg *config.Config, err error) {
	const tries = 5
	for range tries {
		a.reloads.seen = a.filesSeen()
		if cfg, err = a.Load(); a.filesSeen() == a.reloads.seen {
			return cfg, err
		}
	}
	a.reloads.seen = "" // the watch looks again
	return nil, errors.New("the files change while they are read")
}

// operatorToken is the admin token of a configuration: its own, or the one that was made at the start.
func (a *App) operatorToken(cfg *config.Config) proxy.Secret {
	if !cfg.AdminToken.IsZero() || !a.cfg.AdminToken.IsZero() {
		return cfg.AdminToken
	}
	return a.madeToken
}

// configError is why the configuration that is there now is not in force; nil when it is.
func (a *App) configError() error { return a.reloads.last.Load().err }

// watchFiles reads the configuration anew when one of its files changed. It returns how to stop that.
func (a *App) watchFiles() (stop func() error) {
	ctx, end := context.WithCancel(context.Background())
	var done sync.WaitGroup
	if a.Load != nil {
		done.Go(func() { a.watch(ctx) })
	}
	return func() error {
		end()
		done.Wait()
		return nil
	}
}

func (a *App) watch(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	before := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		a.reloads.mu.Lock()
		now := a.filesSeen()
		if now == before && now != a.reloads.seen {
			_ = a.reloadLocked("a file changed") // told there
		}
		a.reloads.mu.Unlock()
		before = now
	}
}

// filesSeen is a fingerprint of all files that the configuration is read from.
func (a *App) filesSeen() string {
	sum := sha256.New()
	for _, path := range a.files() {
		text, err := os.ReadFile(path)
		fmt.Fprintln(sum, path, len(text), err != nil)
		sum.Write(text)
	}
	return string(sum.Sum(nil))
}

// files are those of the configuration in force. One that was not there is among them: it may come.
func (a *App) files() []string {
	if a.Load == nil {
		return nil
	}
	return slices.Compact(slices.Sorted(slices.Values(a.catalog.Current().Base.Files)))
}
