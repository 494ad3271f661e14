package redisstate

import (
	"context"
	"errors"

	"github.com/redis/go-redis/v9"
)

// unknown is the version before the first look.
const unknown = -1

// view is what the loop knows of what is shared. Only the loop uses it.
type view struct {
	s     *Store
	rests Watcher
	cfg   ConfigWatcher // nil: nobody asks for the catalog

	again                           bool // the rests are to be read whatever their version: hints may have been lost
	ofRests, ofCatalog, ofRefreshes int64
}

func newView(s *Store, rests Watcher, cfg ConfigWatcher) *view {
	return &view{s: s, rests: rests, cfg: cfg, ofRests: unknown, ofCatalog: unknown}
}

// look reads all versions in one trip, and tells of those that changed. They are in different slots of a Cluster, and one
// may be there while another is not.
func (v *view) look(ctx context.Context) {
	ctx, cancel := within(ctx, v.s.budgets.slow)
	defer cancel()
	var rests, catalog, refreshes *redis.StringCmd
	v.s.slow.Pipelined(ctx, func(p redis.Pipeliner) error {
		rests = p.Get(ctx, v.s.keys.restsVersion())
		if v.cfg != nil {
			catalog, refreshes = p.Get(ctx, v.s.keys.catalogVersion()), p.Get(ctx, v.s.keys.refresh())
		}
		return nil
	})
	if v.cfg != nil {
		v.seeCatalog(catalog)
		v.seeRefreshes(refreshes)
	}
	v.seeRests(ctx, rests)
}

// number is what a counter holds, 0 when there is none.
func number(cmd *redis.StringCmd) (n int64, ok bool) {
	n, err := cmd.Int64()
	return n, err == nil || errors.Is(err, redis.Nil)
}

func (v *view) seeCatalog(found *redis.StringCmd) {
	if version, ok := number(found); ok && version != v.ofCatalog {
		v.ofCatalog = version
		v.cfg.CatalogChanged(version)
	}
}

func (v *view) seeRefreshes(found *redis.StringCmd) {
	n, ok := number(found)
	if !ok {
		return
	}
	more := n > v.ofRefreshes
	v.ofRefreshes = n // a lower number is no order, but the next one counts from it
	if more {
		v.cfg.RefreshOrdered(n)
	}
}

// seeRests reads the rests if they changed, or again is set.
func (v *view) seeRests(ctx context.Context, found *redis.StringCmd) {
	version, ok := number(found)
	if !ok || version == v.ofRests && !v.again {
		return
	}
	rests, err := v.s.Rests(ctx)
	if err != nil {
		return
	}
	if version < v.ofRests {
		v.rests.Retell()
	}
	v.rests.Sync(rests)
	v.ofRests, v.again = version, false
}
