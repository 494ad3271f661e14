package redisstate

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"openai-api-proxy/pkg/state"
)

const (
	// mostSteps and mostFields bound one trip: steps that are asked for, and fields that come back. A single step may have
	// more fields than that.
	mostSteps  = 500
	mostFields = 5000
)

// Series reads the hash of each step, or one field of it.
func (s *Store) Series(ctx context.Context, q state.SeriesQuery) ([]state.Point, error) {
	ctx, cancel := within(ctx, s.budgets.slow)
	defer cancel()
	starts := q.Starts(time.Now())
	if q.ID != "" {
		return s.one(ctx, q, starts)
	}
	sizes, err := s.sizes(ctx, q, starts)
	if err != nil {
		return nil, err
	}
	var found []state.Point
	for len(starts) > 0 {
		n, fields := 0, int64(0)
		for n < len(starts) && n < mostSteps && (n == 0 || fields+sizes[n] <= mostFields) {
			fields += sizes[n]
			n++
		}
		if fields > 0 {
			points, err := s.all(ctx, q, starts[:n])
			if err != nil {
				return nil, err
			}
			found = append(found, points...)
		}
		starts, sizes = starts[n:], sizes[n:]
	}
	return found, nil
}

// sizes is how many series each step has.
func (s *Store) sizes(ctx context.Context, q state.SeriesQuery, starts []time.Time) ([]int64, error) {
	sizes, all := make([]int64, 0, len(starts)), int64(0)
	for steps := range slices.Chunk(starts, mostSteps) {
		cmds, err := s.slow.Pipelined(ctx, func(p redis.Pipeliner) error {
			for _, at := range steps {
				p.HLen(ctx, s.keys.series(q.Step, at, q.Kind))
			}
			return nil
		})
		if err != nil {
			return nil, unavailable(err)
		}
		for _, c := range cmds {
			n := c.(*redis.IntCmd).Val()
			sizes, all = append(sizes, n), all+n
		}
	}
	if all > state.MostFound {
		return nil, state.ErrTooMuch
	}
	return sizes, nil
}

func (s *Store) all(ctx context.Context, q state.SeriesQuery, starts []time.Time) ([]state.Point, error) {
	cmds, err := s.slow.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, at := range starts {
			p.HGetAll(ctx, s.keys.series(q.Step, at, q.Kind))
		}
		return nil
	})
	if err != nil {
		return nil, unavailable(err)
	}
	var found []state.Point
	for i, c := range cmds {
		from := len(found)
		for id, text := range c.(*redis.MapStringStringCmd).Val() {
			found = append(found, point(q.Kind, id, starts[i], text))
		}
		slices.SortFunc(found[from:], func(a, b state.Point) int { return cmp.Compare(a.ID, b.ID) })
	}
	return found, nil
}

// one reads one series.
func (s *Store) one(ctx context.Context, q state.SeriesQuery, starts []time.Time) ([]state.Point, error) {
	var found []state.Point
	for steps := range slices.Chunk(starts, mostSteps) {
		cmds, err := s.slow.Pipelined(ctx, func(p redis.Pipeliner) error {
			for _, at := range steps {
				p.HMGet(ctx, s.keys.series(q.Step, at, q.Kind), q.ID) // not HGET, whose nil would be an error of the whole
			}
			return nil
		})
		if err != nil {
			return nil, unavailable(err)
		}
		for i, c := range cmds {
			if text, ok := c.(*redis.SliceCmd).Val()[0].(string); ok {
				found = append(found, point(q.Kind, q.ID, steps[i], text))
			}
		}
	}
	return found, nil
}

func point(kind state.Kind, id string, at time.Time, text string) state.Point {
	return state.Point{At: at, Usage: state.Usage{Kind: kind, ID: id, Counts: state.Unpack(text)}}
}
