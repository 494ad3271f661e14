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

// Watcher is told of the rests.
type Watcher interface {
	// Sync is called with all rests whenever one of them changed.
	Sync(rests []state.Rest)
	// Retell is called before Sync when Redis has forgotten what it knew: it was emptied, or is an older copy.
	Retell()
}

// Watch tells of changes: at once when the hint arrives, within pollEvery when it was lost. It also keeps the heartbeat of
// this replica. stop ends it and waits.
func (s *Store) Watch(w Watcher) (stop func()) {
	ctx, end := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() { s.watch(ctx, w) })
	return func() {
		end()
		done.Wait()
	}
}

// unknown is the version before the first look.
const unknown = -1

func (s *Store) watch(ctx context.Context, w Watcher) {
	hints := s.slow.Subscribe(ctx, s.keys.restsChannel())
	defer hints.Close()
	heard := hints.ChannelWithSubscriptions()
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	version, lastDegraded := int64(unknown), time.Time{}
	again := false // hints may have been lost
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
			_, again = m.(*redis.Subscription)
		case <-poll.C:
			s.beatOnce(ctx)
			lastDegraded = s.tell(lastDegraded)
		}
		version, again = s.refresh(ctx, version, again, w)
	}
}

// refresh reads the rests if they changed since the version, or again is set, and returns the version that is known now
// and whether it has to be done again.
func (s *Store) refresh(ctx context.Context, version int64, again bool, w Watcher) (int64, bool) {
	ctx, cancel := within(ctx, slowTimeout)
	defer cancel()
	found, err := s.slow.Get(ctx, s.keys.restsVersion()).Int64() // 0 when there is none
	if err != nil && !errors.Is(err, redis.Nil) || found == version && !again {
		return version, again
	}
	rests, err := s.Rests(ctx)
	if err != nil {
		return version, again
	}
	if found < version {
		w.Retell()
	}
	w.Sync(rests)
	return found, false
}

func (s *Store) beatOnce(ctx context.Context) {
	ctx, cancel := within(ctx, slowTimeout)
	defer cancel()
	counts, err := s.beat.Run(ctx, s.slow, []string{s.keys.replicas(), s.keys.configs()}, s.epoch, goneAfter.Milliseconds(),
		s.version).Int64Slice()
	if err != nil {
		return
	}
	s.replicas.Store(max(counts[0], 1))
	if before := s.configs.Swap(counts[1]); counts[1] > 1 && before != counts[1] {
		s.log.Warn("replicas run different configurations", "replicas", counts[0], "configurations", counts[1])
	}
}

// Configurations is how many different configurations the replicas ran when Redis was last heard of.
func (s *Store) Configurations() int { return int(s.configs.Load()) }

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
