package redisstate

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"openai-api-proxy/pkg/state"
)

const (
	// pollEvery is how soon a change is found whose hint was lost.
	pollEvery = time.Second
	// goneAfter is how long a replica counts after its last heartbeat.
	goneAfter = 5 * time.Second
)

// Watch tells of the rests, all of them, whenever one changed: at once when the hint arrives, within pollEvery when it was
// lost. It also keeps the heartbeat of this replica. stop ends it and waits.
func (s *Store) Watch(changed func([]state.Rest)) (stop func()) {
	ctx, end := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() { s.watch(ctx, changed) })
	return func() {
		end()
		done.Wait()
	}
}

func (s *Store) watch(ctx context.Context, changed func([]state.Rest)) {
	hints := s.slow.Subscribe(ctx, s.keys.restsChannel())
	defer hints.Close()
	heard := hints.ChannelWithSubscriptions()
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	version, lastDegraded := "none", time.Time{}
	s.beatOnce(ctx)
	for {
		select {
		case <-ctx.Done():
			return
		case m, open := <-heard:
			if !open {
				heard = nil // the polls go on
				continue
			}
			if _, again := m.(*redis.Subscription); again {
				version = "none" // hints may have been lost while the connection was
			}
		case <-poll.C:
			s.beatOnce(ctx)
			lastDegraded = s.tell(lastDegraded)
		}
		version = s.refresh(ctx, version, changed)
	}
}

// refresh reads the rests if they changed since the version, and returns the one that is known now.
func (s *Store) refresh(ctx context.Context, version string, changed func([]state.Rest)) string {
	ctx, cancel := within(ctx, slowTimeout)
	defer cancel()
	found, err := s.slow.Get(ctx, s.keys.restsVersion()).Result()
	if err != nil && !errors.Is(err, redis.Nil) || err == nil && found == version {
		return version
	}
	if errors.Is(err, redis.Nil) {
		if found = "empty"; found == version {
			return version
		}
	}
	rests, err := s.Rests(ctx)
	if err != nil {
		return version
	}
	changed(rests)
	return found
}

func (s *Store) beatOnce(ctx context.Context) {
	ctx, cancel := within(ctx, slowTimeout)
	defer cancel()
	n, err := s.beat.Run(ctx, s.slow, []string{s.keys.replicas()}, s.epoch, goneAfter.Milliseconds()).Int64()
	if err == nil {
		s.replicas.Store(max(n, 1))
	}
}

// Replicas is how many replicas lived when Redis was last heard of.
func (s *Store) Replicas() int { return int(s.replicas.Load()) }

// tell says in the log when an outage begins and when it has ended.
func (s *Store) tell(before time.Time) time.Time {
	now := s.DegradedSince()
	switch {
	case before.IsZero() && !now.IsZero():
		s.log.Error("redis does not answer: limits are kept for this replica alone", "since", now)
	case !before.IsZero() && now.IsZero():
		s.log.Warn("redis answers again", "degraded_since", before)
	}
	return now
}
