package redisstate

import (
	"context"
	"crypto/rand"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"openai-api-proxy/pkg/state"
)

// restoreLife is how long items are kept that were filled in and never put in place.
const restoreLife = time.Minute

// Restore fills a hash beside the items, by and by, and has cfgrestore.lua put it in their place at once.
func (s *Store) Restore(ctx context.Context, items []state.Item, version int64) error {
	if err := state.CheckItems(items); err != nil {
		return err
	}
	ctx, cancel := within(ctx, itemsTimeout)
	defer cancel()
	found, err := s.catalogVersion(ctx)
	if err != nil || found >= version {
		return err
	}
	beside := s.keys.restoring(rand.Text())
	living := slices.DeleteFunc(slices.Clone(items), func(i state.Item) bool { return i.Deleted })
	for some := range slices.Chunk(living, itemsAtOnce) {
		if err := s.fill(ctx, beside, some); err != nil {
			return unavailable(err)
		}
	}
	ctx, cancel = within(ctx, s.budgets.slow)
	defer cancel()
	put, err := s.catalog.restore.Run(ctx, s.slow,
		[]string{s.keys.items(), s.keys.catalogVersion(), s.keys.catalogLog(), beside},
		version, version+state.RestoreLeap, len(living), s.keys.catalogChannel()).Int()
	if err == nil && put == 0 { // somebody else was faster
		err = s.slow.Unlink(ctx, beside).Err()
	}
	return unavailable(err)
}

func (s *Store) fill(ctx context.Context, beside string, items []state.Item) error {
	ctx, cancel := within(ctx, s.budgets.slow)
	defer cancel()
	fields := make([]any, 0, 2*len(items))
	for _, i := range items {
		fields = append(fields, itemName(i.Kind, i.ID), strconv.FormatInt(i.Revision, 10)+":"+string(i.Value))
	}
	_, err := s.slow.Pipelined(ctx, func(p redis.Pipeliner) error {
		p.HSet(ctx, beside, fields...)
		p.PExpire(ctx, beside, restoreLife)
		return nil
	})
	return err
}
