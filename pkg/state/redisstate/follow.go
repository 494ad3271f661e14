package redisstate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"openai-api-proxy/pkg/state"
)

const (
	// itemsTimeout bounds the reading of all items, trip by trip.
	itemsTimeout = 30 * time.Second
	// entriesAtOnce is how many entries of the log are read in one trip.
	entriesAtOnce = 1000
	// readings is how often all items are read again when the state went back or was restored meanwhile.
	readings = 5
)

// Items reads the version, then the names, then the values by and by, so that Redis is never busy for long. The names come
// at once and not by HSCAN: its cursor means nothing to a primary that takes over in the middle, which would skip some.
func (s *Store) Items(ctx context.Context) ([]state.Item, int64, error) {
	ctx, cancel := within(ctx, itemsTimeout)
	defer cancel()
	version, err := s.catalogVersion(ctx)
	if err != nil {
		return nil, 0, err
	}
	for range readings {
		items, err := s.readItems(ctx)
		if err != nil {
			return nil, 0, err
		}
		after, err := s.catalogVersion(ctx)
		if err != nil {
			return nil, 0, err
		}
		if steady(version, after) && (after > 0 || len(items) == 0) { // emptied, restored and emptied again: 0 both times
			return items, version, nil
		}
		version = after
	}
	return nil, 0, unavailable(errors.New("the catalog went back each time that it was read"))
}

// steady reports whether what was read between two versions is of one state: not when it went back, nor when it leapt
// because it was restored. What was read is then a part of the one and of the other.
func steady(before, after int64) bool { return after >= before && after < before+state.RestoreLeap }

func (s *Store) readItems(ctx context.Context) ([]state.Item, error) {
	once, cancel := within(ctx, s.budgets.slow)
	defer cancel()
	names, err := s.slow.HKeys(once, s.keys.items()).Result()
	if err != nil {
		return nil, unavailable(err)
	}
	items, err := s.itemsNamed(ctx, names)
	return slices.DeleteFunc(items, func(i state.Item) bool { return i.Deleted }), err
}

// itemsNamed reads some items as they are now; those that are gone are marked so.
func (s *Store) itemsNamed(ctx context.Context, names []string) ([]state.Item, error) {
	items := make([]state.Item, 0, len(names))
	for some := range slices.Chunk(names, itemsAtOnce) {
		values, err := s.valuesOf(ctx, some)
		if err != nil {
			return nil, unavailable(err)
		}
		for i, name := range some {
			text, found := values[i].(string)
			if !found {
				kind, id, _ := strings.Cut(name, "/")
				items = append(items, state.Item{Kind: kind, ID: id, Deleted: true})
				continue
			}
			item, err := parseItem(name, text)
			if err != nil {
				return nil, err
			}
			items = append(items, item)
		}
	}
	return items, nil
}

func (s *Store) valuesOf(ctx context.Context, names []string) ([]any, error) {
	ctx, cancel := within(ctx, s.budgets.slow)
	defer cancel()
	return s.slow.HMGet(ctx, s.keys.items(), names...).Result()
}

// Since follows the log from the version to the present one, and reads what it names.
func (s *Store) Since(ctx context.Context, version int64) ([]state.Item, int64, error) {
	ctx, cancel := within(ctx, itemsTimeout)
	defer cancel()
	end, err := s.catalogVersion(ctx)
	if err != nil {
		return nil, 0, err
	}
	if end < version {
		return nil, 0, fmt.Errorf("%w: version %d, the state is at %d", state.ErrGap, version, end)
	}
	now, named := version, map[string]bool{}
	for now < end {
		if now, err = s.readLog(ctx, now, named); err != nil {
			return nil, 0, err
		}
	}
	names := make([]string, 0, len(named))
	for name := range named {
		names = append(names, name)
	}
	items, err := s.itemsNamed(ctx, names)
	if err != nil {
		return nil, 0, err
	}
	after, err := s.catalogVersion(ctx)
	if err == nil && !steady(end, after) {
		err = fmt.Errorf("%w: the state went from version %d to %d", state.ErrGap, end, after)
	}
	return items, now, err
}

// readLog adds what the next entries after a version name, and returns the version of the last of them. Each must follow
// the one before.
func (s *Store) readLog(ctx context.Context, version int64, named map[string]bool) (int64, error) {
	ctx, cancel := within(ctx, s.budgets.slow)
	defer cancel()
	from := strconv.FormatInt(version+1, 10)
	entries, err := s.slow.XRangeN(ctx, s.keys.catalogLog(), from, "+", entriesAtOnce).Result()
	if err != nil {
		return 0, unavailable(err)
	}
	for _, e := range entries {
		version++
		if e.ID != strconv.FormatInt(version, 10)+"-0" {
			return 0, fmt.Errorf("%w: version %d", state.ErrGap, version)
		}
		addNames(named, e)
	}
	if len(entries) == 0 {
		return 0, fmt.Errorf("%w: version %s", state.ErrGap, from)
	}
	return version, nil
}

// addNames reads "kind/id/kind/id/...".
func addNames(named map[string]bool, entry redis.XMessage) {
	list, _ := entry.Values["names"].(string)
	for list != "" {
		kind, rest, _ := strings.Cut(list, "/")
		id, more, _ := strings.Cut(rest, "/")
		named[itemName(kind, id)] = true
		list = more
	}
}

// catalogVersion is 0 when nothing was ever configured.
func (s *Store) catalogVersion(ctx context.Context) (int64, error) {
	ctx, cancel := within(ctx, s.budgets.slow)
	defer cancel()
	version, err := s.slow.Get(ctx, s.keys.catalogVersion()).Int64()
	if err != nil && !errors.Is(err, redis.Nil) {
		return 0, unavailable(err)
	}
	return version, nil
}
