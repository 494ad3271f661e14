package redisstate

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/sony/gobreaker/v2"

	"openai-api-proxy/pkg/state"
)

// batchLife is how long the number of a replica's last batch is kept: longer than any batch is in doubt.
const batchLife = 7 * 24 * time.Hour

// Count runs count.lua with the next number of this replica. A batch whose answer was lost is this store's to deliver: it
// is kept, and sent again under the same number before any other, so that it is added once. An error means that the batch
// was not taken.
func (s *Store) Count(ctx context.Context, usage []state.Usage) error {
	if err := s.settleDoubt(ctx); err != nil {
		return unavailable(err)
	}
	s.batch.Lock()
	defer s.batch.Unlock()
	args := []any{batchLife.Milliseconds(), s.sent + 1}
	for _, u := range usage {
		prefix := string(u.Kind) + "/" + u.ID + "/"
		for _, f := range fields(&u.Counts) {
			if *f.at != 0 {
				args = append(args, prefix+f.name, *f.at)
			}
		}
	}
	err := s.sendLocked(ctx, args)
	if err != nil && mayHaveRun(err) {
		s.doubt = args
		return nil
	}
	return unavailable(err)
}

// settleDoubt sends the batch that is in doubt, if there is one.
func (s *Store) settleDoubt(ctx context.Context) error {
	s.batch.Lock()
	defer s.batch.Unlock()
	if s.doubt == nil {
		return nil
	}
	err := s.sendLocked(ctx, s.doubt)
	if err == nil {
		s.doubt = nil
	}
	return err
}

func (s *Store) sendLocked(ctx context.Context, args []any) error {
	ctx, cancel := within(ctx, slowTimeout)
	defer cancel()
	err := s.count.Run(ctx, s.slow, []string{s.keys.usage(), s.keys.batch(s.epoch)}, args...).Err()
	if err == nil {
		s.sent++
	}
	return err
}

// mayHaveRun reports whether a command that failed may still have been carried out: not when it was never sent, nor when
// Redis refused it.
func mayHaveRun(err error) bool {
	var refused redis.Error
	var dial *net.OpError
	switch {
	case errors.Is(err, gobreaker.ErrOpenState), errors.Is(err, gobreaker.ErrTooManyRequests), errors.As(err, &refused),
		errors.Is(err, redis.ErrPoolTimeout), errors.Is(err, redis.ErrClosed):
		return false
	case errors.As(err, &dial) && dial.Op == "dial":
		return false
	default:
		return true
	}
}

// Totals reads the whole hash.
func (s *Store) Totals(ctx context.Context) (state.Totals, error) {
	ctx, cancel := within(ctx, slowTimeout)
	defer cancel()
	all, err := s.slow.HGetAll(ctx, s.keys.usage()).Result()
	if err != nil {
		return state.Totals{}, unavailable(err)
	}
	t := state.Totals{Since: time.Now()}
	if since, err := strconv.ParseInt(all["since"], 10, 64); err == nil {
		t.Since = time.Unix(since, 0)
	}
	delete(all, "since")
	byName := map[string]*state.Usage{}
	for field, amount := range all {
		kind, id, name, ok := split(field)
		n, err := strconv.ParseInt(amount, 10, 64)
		if !ok || err != nil {
			continue
		}
		u := byName[kind+"/"+id]
		if u == nil {
			u = &state.Usage{Kind: state.Kind(kind), ID: id}
			byName[kind+"/"+id] = u
		}
		for _, f := range fields(&u.Counts) {
			if f.name == name {
				*f.at = n
			}
		}
	}
	for _, u := range byName {
		t.Usage = append(t.Usage, *u)
	}
	return t, nil
}

// split reads "kind/id/field"; an id may hold slashes.
func split(field string) (kind, id, name string, ok bool) {
	first, last := strings.IndexByte(field, '/'), strings.LastIndexByte(field, '/')
	if first < 0 || first == last {
		return "", "", "", false
	}
	return field[:first], field[first+1 : last], field[last+1:], true
}

type countField struct {
	name string
	at   *int64
}

// fields names every amount of the counts.
func fields(c *state.Counts) []countField {
	all := []countField{{"requests", &c.Requests}, {"successes", &c.Successes}, {"failures", &c.Failures}, {"input", &c.Input},
		{"cached", &c.Cached}, {"output", &c.Output}, {"reasoning", &c.Reasoning}}
	for i := range c.Latency {
		all = append(all, countField{fmt.Sprintf("l%d", i), &c.Latency[i]})
	}
	return all
}
