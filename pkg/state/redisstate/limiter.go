package redisstate

import (
	"context"
	"sync"

	"github.com/ulule/limiter/v3"
	shared "github.com/ulule/limiter/v3/drivers/store/redis"
)

// Limiter counts in this Redis what a limiter.Store counts: failed authentications, for the whole fleet. The library's store
// loads its scripts when it is made and fails while Redis is away, so it is made at the first use that succeeds.
func (s *Store) Limiter() limiter.Store { return &lazyLimiter{s: s} }

type lazyLimiter struct {
	s *Store

	mu   sync.Mutex // guards made
	made limiter.Store
}

// store is the library's store, with a context that bounds what is asked of it.
func (l *lazyLimiter) store(ctx context.Context) (limiter.Store, context.Context, context.CancelFunc, error) {
	ctx, cancel := within(ctx, l.s.budgets.hot)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.made == nil {
		made, err := shared.NewStoreWithOptions(l.s.hot, limiter.StoreOptions{Prefix: l.s.keys.failures()})
		if err != nil {
			cancel()
			return nil, nil, nil, unavailable(err)
		}
		l.made = made
	}
	return l.made, ctx, cancel, nil
}

// Get is limiter.Store's.
func (l *lazyLimiter) Get(ctx context.Context, key string, rate limiter.Rate) (limiter.Context, error) {
	store, ctx, cancel, err := l.store(ctx)
	if err != nil {
		return limiter.Context{}, err
	}
	defer cancel()
	return store.Get(ctx, key, rate)
}

// Peek is limiter.Store's.
func (l *lazyLimiter) Peek(ctx context.Context, key string, rate limiter.Rate) (limiter.Context, error) {
	store, ctx, cancel, err := l.store(ctx)
	if err != nil {
		return limiter.Context{}, err
	}
	defer cancel()
	return store.Peek(ctx, key, rate)
}

// Reset is limiter.Store's.
func (l *lazyLimiter) Reset(ctx context.Context, key string, rate limiter.Rate) (limiter.Context, error) {
	store, ctx, cancel, err := l.store(ctx)
	if err != nil {
		return limiter.Context{}, err
	}
	defer cancel()
	return store.Reset(ctx, key, rate)
}

// Increment is limiter.Store's.
func (l *lazyLimiter) Increment(ctx context.Context, key string, n int64, rate limiter.Rate) (limiter.Context, error) {
	store, ctx, cancel, err := l.store(ctx)
	if err != nil {
		return limiter.Context{}, err
	}
	defer cancel()
	return store.Increment(ctx, key, n, rate)
}
