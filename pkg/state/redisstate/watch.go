package redisstate

import (
	"context"
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

// ConfigWatcher is told of the catalog. It is called by the loop that keeps the heartbeat: it hands over and returns at
// once, and never asks the state itself.
type ConfigWatcher interface {
	// CatalogChanged tells the version at the first look and whenever it is another one, also when it went back.
	CatalogChanged(version int64)
	// RefreshOrdered tells the latest order to read the configuration file anew: at the first look, if there ever was one,
	// since it may have come after the file was read, and whenever there is another. Orders begin again at 1 when Redis has
	// forgotten them.
	RefreshOrdered(n int64)
}

// Watch tells of changes: at once when the hint arrives, within pollEvery when it was lost. It also keeps the heartbeat of
// this replica. cfg may be nil. stop ends it and waits.
func (s *Store) Watch(rests Watcher, cfg ConfigWatcher) (stop func()) {
	ctx, end := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() { s.watch(ctx, newView(s, rests, cfg)) })
	return func() {
		end()
		done.Wait()
	}
}

func (s *Store) watch(ctx context.Context, v *view) {
	hints := s.slow.Subscribe(ctx, s.keys.restsChannel(), s.keys.catalogChannel())
	defer hints.Close()
	heard := hints.ChannelWithSubscriptions()
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	lastDegraded := time.Time{}
	s.BeatNow(ctx)
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
				v.again = true
			}
		case <-poll.C:
			s.BeatNow(ctx)
			lastDegraded = s.tell(lastDegraded)
		}
		v.look(ctx)
	}
}

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
