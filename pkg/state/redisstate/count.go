package redisstate

import (
	"context"
	"errors"
	"net"

	"github.com/redis/go-redis/v9"
	"github.com/sony/gobreaker/v2"

	"openai-api-proxy/pkg/state"
)

// Count runs count.lua for each part of the batch, with the next number of this replica. A part whose answer was lost is
// this store's to deliver, and so is what follows a part that was sent: both are kept, and sent under the same number before
// any other, so that they are added once. An error means that nothing of the batch was taken.
//
// The parts of a batch that has a source have numbers made of the batch's own, so that whoever sends it again, in whatever
// process, sends the same.
func (s *Store) Count(ctx context.Context, b state.Batch) error {
	s.batch.Lock()
	defer s.batch.Unlock()
	if err := s.deliverLocked(ctx); err != nil {
		return unavailable(err)
	}
	parts := s.split(b)
	switch {
	case b.Source != "":
		return unavailable(s.sendNamedLocked(ctx, b, parts))
	case len(parts) == 0:
		return nil
	}
	err := s.sendLocked(ctx, parts[0])
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

// partsOfBatch is more than the parts that any batch has.
const partsOfBatch = 1 << 16

// sendNamedLocked sends a batch that has a source. Parts that were taken in before add nothing.
func (s *Store) sendNamedLocked(ctx context.Context, b state.Batch, parts []part) error {
	for i, p := range parts {
		if err := s.runLocked(ctx, p, b.Number*partsOfBatch+int64(i)); err != nil {
			return err
		}
	}
	s.countedMu.Lock()
	defer s.countedMu.Unlock()
	s.counted[b.Source] = b.Number
	return nil
}

// Counted is the last batch of the source that Redis has taken in from this process.
func (s *Store) Counted(source string) int64 {
	s.countedMu.Lock()
	defer s.countedMu.Unlock()
	return s.counted[source]
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
	err := s.runLocked(ctx, p, s.sent+1)
	if err == nil {
		s.sent++
	}
	return err
}

func (s *Store) runLocked(ctx context.Context, p part, number int64) error {
	ctx, cancel := within(ctx, s.budgets.slow)
	defer cancel()
	p.args[numberArg] = number
	return s.count.Run(ctx, s.slow, p.keys, p.args...).Err()
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
