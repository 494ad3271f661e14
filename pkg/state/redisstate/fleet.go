package redisstate

import (
	"context"
	_ "embed"
	"encoding/json"
	"slices"
	"strings"
	"sync"

	"openai-api-proxy/pkg/state"
)

//go:embed fleet.lua
var fleetSource string

// self is what this replica tells of itself with each heartbeat.
type self struct {
	mu          sync.Mutex           // guards both
	fingerprint string               // of its configuration
	describe    func() state.Replica // nil: nothing but its id
}

// ID names this replica for as long as it runs.
func (s *Store) ID() string { return s.epoch }

// SetConfiguration says that this replica now runs another configuration. Others see it with the next heartbeat.
func (s *Store) SetConfiguration(fingerprint string) {
	s.self.mu.Lock()
	defer s.self.mu.Unlock()
	s.self.fingerprint = fingerprint
}

// Describe sets who describes this replica. It is asked at each heartbeat and must not wait for anything. The id is filled
// in here.
func (s *Store) Describe(describe func() state.Replica) {
	s.self.mu.Lock()
	defer s.self.mu.Unlock()
	s.self.describe = describe
}

// tells is the fingerprint of the configuration, and the description as JSON.
func (s *Store) tells() (fingerprint string, text []byte, err error) {
	s.self.mu.Lock()
	fingerprint, describe := s.self.fingerprint, s.self.describe
	s.self.mu.Unlock()
	var r state.Replica
	if describe != nil {
		r = describe()
	}
	r.ID = s.epoch
	text, err = json.Marshal(r)
	return fingerprint, text, err
}

// BeatNow sends a heartbeat before its time, so that others see at once what changed of this replica.
func (s *Store) BeatNow(ctx context.Context) error {
	ctx, cancel := within(ctx, s.budgets.slow)
	defer cancel()
	fingerprint, text, err := s.tells()
	if err != nil {
		return err
	}
	counts, err := s.beat.Run(ctx, s.slow, []string{s.keys.replicas(), s.keys.configs(), s.keys.infos()}, s.epoch,
		goneAfter.Milliseconds(), fingerprint, text).Int64Slice()
	if err != nil {
		return unavailable(err)
	}
	s.replicas.Store(max(counts[0], 1))
	if before := s.configs.Swap(counts[1]); counts[1] > 1 && before != counts[1] {
		s.log.Warn("replicas run different configurations", "replicas", counts[0], "configurations", counts[1])
	}
	return nil
}

// Fleet lists the replicas that live, this one among them once it has sent a heartbeat. One of an older version, which
// does not describe itself, is listed by its id.
func (s *Store) Fleet(ctx context.Context) ([]state.Replica, error) {
	ctx, cancel := within(ctx, s.budgets.slow)
	defer cancel()
	pairs, err := s.fleet.Run(ctx, s.slow, []string{s.keys.replicas(), s.keys.infos()}, goneAfter.Milliseconds()).StringSlice()
	if err != nil {
		return nil, unavailable(err)
	}
	all := make([]state.Replica, 0, len(pairs)/2)
	for pair := range slices.Chunk(pairs, 2) {
		var r state.Replica
		if json.Unmarshal([]byte(pair[1]), &r) != nil {
			r = state.Replica{}
		}
		r.ID = pair[0]
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b state.Replica) int { return strings.Compare(a.ID, b.ID) })
	return all, nil
}

// Configurations is how many different configurations the replicas ran when Redis was last heard of.
func (s *Store) Configurations() int { return int(s.configs.Load()) }

// Replicas is how many replicas lived when Redis was last heard of.
func (s *Store) Replicas() int { return int(s.replicas.Load()) }

// OrderRefresh orders every replica to read its configuration file anew, and returns the number of the order.
func (s *Store) OrderRefresh(ctx context.Context) (n int64, err error) {
	ctx, cancel := within(ctx, s.budgets.slow)
	defer cancel()
	if n, err = s.slow.Incr(ctx, s.keys.refresh()).Result(); err != nil {
		return 0, unavailable(err)
	}
	s.slow.Publish(ctx, s.keys.catalogChannel(), "refresh") // a hint that is lost is found by the polls
	return n, nil
}
