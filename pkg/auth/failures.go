package auth

import (
	"context"
	"log/slog"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/ulule/limiter/v3"
	"github.com/ulule/limiter/v3/drivers/store/memory"
)

const (
	// defaultFailures are the failed authentications that one address may have in a minute.
	defaultFailures = 30
	// cleanUp is how often the memory store forgets windows that have ended.
	cleanUp = time.Minute
)

// NewFailureStore counts failures in memory. Its janitor goroutine is stopped by the garbage collector once nobody
// holds the store any more; the library offers no way to stop it sooner. The janitor may drop a failure that is counted
// in the very moment in which its window ends, which gives an address one more try.
func NewFailureStore() limiter.Store {
	return memory.NewStoreWithOptions(limiter.StoreOptions{Prefix: limiter.DefaultPrefix, CleanUpInterval: cleanUp})
}

// failures limits failed authentications by address.
type failures struct {
	store  limiter.Store
	rate   limiter.Rate
	now    func() time.Time
	log    *slog.Logger
	errors prometheus.Counter
}

// newFailures reads the options of a Gate, in which Now is set already.
func newFailures(o Options, errors prometheus.Counter) *failures {
	if o.Rate.Limit == 0 {
		o.Rate = limiter.Rate{Period: time.Minute, Limit: defaultFailures}
	}
	return &failures{store: o.Failures, rate: o.Rate, now: o.Now, log: o.Log, errors: errors}
}

// count notes a failure and returns how long the address has to wait, 0 while it need not. A limiter that fails lets
// the plain refusal stand: the token was bad either way.
func (f *failures) count(ctx context.Context, addr netip.Addr) time.Duration {
	seen, err := f.store.Increment(ctx, f.key(addr), 1, f.rate)
	if err != nil {
		f.errors.Inc()
		f.log.DebugContext(ctx, "failed authentication not counted", "error", err)
		return 0
	}
	if !seen.Reached {
		return 0
	}
	// Reset is the end of the window cut down to whole seconds; a caller who came at that second would be early.
	return max(time.Unix(seen.Reset+1, 0).Sub(f.now()), time.Second)
}

// key names the window of an address. One IPv6 customer holds a /64 at least, so that is what counts as an address. The
// period is part of the key, because a running window keeps the one it was begun with. Addresses that could not be read
// share a window.
func (f *failures) key(addr netip.Addr) string {
	addr = addr.Unmap().WithZone("")
	bits := addr.BitLen()
	if addr.Is6() {
		bits = 64
	}
	// The error says that addr is not valid; so does the text of the prefix.
	prefix, _ := addr.Prefix(bits)
	return "auth:" + f.rate.Period.String() + ":" + prefix.String()
}
