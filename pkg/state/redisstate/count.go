package redisstate

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/sony/gobreaker/v2"

	"openai-api-proxy/pkg/state"
)

// batchLife is how long the number of a replica's last part is kept: longer than any part is in doubt.
const batchLife = 7 * 24 * time.Hour

// Count runs count.lua for each part of the batch, with the next number of this replica. A part whose answer was lost is
// this store's to deliver, and so is what follows a part that was sent: both are kept, and sent under the same number before
// any other, so that they are added once. An error means that nothing of the batch was taken.
func (s *Store) Count(ctx context.Context, b state.Batch) error {
	s.batch.Lock()
	defer s.batch.Unlock()
	if err := s.deliverLocked(ctx); err != nil {
		return unavailable(err)
	}
	parts, err := s.split(b)
	if err != nil || len(parts) == 0 {
		return err
	}
	err = s.sendLocked(ctx, parts[0])
	switch {
	case err == nil:
		s.owed = parts[1:]
	case mayHaveRun(err):
		s.owed = parts
		return nil
	default:
		return unavailable(err)
	}
	_ = s.deliverLocked(ctx) // what fails is owed
	return nil
}

// deliverLocked sends what is owed.
func (s *Store) deliverLocked(ctx context.Context) error {
	for len(s.owed) > 0 {
		if err := s.sendLocked(ctx, s.owed[0]); err != nil {
			return err
		}
		s.owed = s.owed[1:]
	}
	s.owed = nil
	return nil
}

// deliver sends what is owed, once.
func (s *Store) deliver(ctx context.Context) {
	s.batch.Lock()
	defer s.batch.Unlock()
	_ = s.deliverLocked(ctx) // what fails now is lost with this replica
}

func (s *Store) sendLocked(ctx context.Context, p part) error {
	ctx, cancel := within(ctx, slowTimeout)
	defer cancel()
	p.args[numberArg] = s.sent + 1
	err := s.count.Run(ctx, s.slow, p.keys, p.args...).Err()
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
