// Package redisstate is the shared state in Redis: what makes several replicas act as one. Redis time is the only time;
// every script touches one hash tag, checks types before it writes, and is safe to run twice. Every call is bounded, and
// fails at once while Redis is away; see guard.
//
// ../README.md lists every key, its bound and its script.
package redisstate

import (
	"context"
	"crypto/rand"
	_ "embed"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
)

// formatVersion is the version of the layout in keys.go. A newer one is not touched.
const formatVersion = 1

const (
	cursorLife = 30 * 24 * time.Hour
	// limitsLife is the least time that a subject's limits are kept after their last use.
	limitsLife  = 10 * time.Minute
	bucketWidth = 3 * time.Second
	mostRests   = 100_000
)

var (
	//go:embed spend.lua
	spendSource string
	//go:embed settle.lua
	settleSource string
	//go:embed renew.lua
	renewSource string
	//go:embed rest.lua
	restSource string
	//go:embed wake.lua
	wakeSource string
	//go:embed fail.lua
	failSource string
	//go:embed count.lua
	countSource string
	//go:embed beat.lua
	beatSource string
	//go:embed release.lua
	releaseSource string
)

// Store is a state.Store in Redis.
type Store struct {
	keys keys
	hot  redis.UniversalClient
	slow redis.UniversalClient
	log  *slog.Logger

	budgets             budgets
	hotGuard, slowGuard *guard

	spend, settle, renew, rest, wake, fail, count, beat, release *redis.Script

	catalog catalog
	objects objectScripts
	alerts  alertScripts
	fleet   *redis.Script
	self    self

	linesMu sync.RWMutex     // guards lines
	lines   map[string]*line // by node; of a Redis that is no Cluster only nearby
	asks    sync.Pool        // of *ask

	epoch    string // of this replica; numbers its batches
	replicas atomic.Int64
	configs  atomic.Int64

	mostSeries, mostScanned int // bounds, lower in tests
	mostRemembered          int64

	batch sync.Mutex // held while a batch is sent, so that they arrive in order; guards both below
	sent  int64      // parts of batches that Redis has taken in
	owed  []part     // parts of a batch whose first was sent; the answer to owed[0] may have been lost

	countedMu sync.Mutex       // guards counted
	counted   map[string]int64 // the last batch of each source that Redis has taken in
}

var _ state.Store = (*Store)(nil)

// Option changes how a Store works.
type Option func(*Store)

// WithRequests says about how many requests are remembered, in place of state.MostRequests. Of replicas that do not agree the
// one with the smallest number decides.
func WithRequests(n int64) Option { return func(s *Store) { s.mostRemembered = n } }

// WithBudgets bounds the calls that requests wait for, and those that nobody waits for, otherwise than by 200 ms and 3 s. On
// a machine that is busy with other things a Redis that works may take longer, and whoever wants to know what Redis decides,
// not what is decided without it, waits.
func WithBudgets(hot, slow time.Duration) Option {
	return func(s *Store) { s.budgets = budgets{hot, slow} }
}

// Open prepares the clients of a replica that runs the version of a configuration. It does not wait for Redis: see Ping.
func Open(rawURL, prefix, version string, log *slog.Logger, opts ...Option) (*Store, error) {
	s := &Store{keys: keys{prefix}, log: log, budgets: budgets{hotTimeout, slowTimeout}, hotGuard: newGuard(), slowGuard: newGuard(),
		spend: redis.NewScript(spendSource), settle: redis.NewScript(settleSource), renew: redis.NewScript(renewSource),
		rest: redis.NewScript(restSource), wake: redis.NewScript(wakeSource),
		fail: redis.NewScript(failSource), count: redis.NewScript(countSource), beat: redis.NewScript(beatSource),
		release: redis.NewScript(releaseSource),
		lines:   map[string]*line{}, epoch: rand.Text(), catalog: newCatalog(), objects: newObjectScripts(), alerts: newAlertScripts(), fleet: redis.NewScript(fleetSource),
		mostSeries: state.MostSeries, mostScanned: state.MostScanned, mostRemembered: state.MostRequests,
		counted: map[string]int64{}}
	for _, opt := range opts {
		opt(s)
	}
	var err error
	if s.hot, s.slow, err = connect(rawURL, s.budgets); err != nil {
		return nil, err
	}
	s.self.fingerprint = version
	s.replicas.Store(1)
	s.configs.Store(1)
	s.hot.AddHook(s.hotGuard)
	s.slow.AddHook(s.slowGuard)
	return s, nil
}

// Close sends what is owed once more and gives up the connections.
func (s *Store) Close() error {
	s.deliver(context.Background())
	err := s.hot.Close()
	if err2 := s.slow.Close(); err == nil {
		err = err2
	}
	return err
}

// Ping reports whether Redis answers and its layout is one that this version understands.
func (s *Store) Ping(ctx context.Context) error {
	ctx, cancel := within(ctx, s.budgets.slow)
	defer cancel()
	// Nobody may lower the number: SETNX keeps what is there.
	if err := s.slow.SetNX(ctx, s.keys.format(), formatVersion, 0).Err(); err != nil {
		return unavailable(err)
	}
	found, err := s.slow.Get(ctx, s.keys.format()).Int()
	if err != nil {
		return unavailable(err)
	}
	if found > formatVersion {
		return fmt.Errorf("the state in Redis has format %d, this version knows %d: it was written by a newer version", found, formatVersion)
	}
	return nil
}

// DegradedSince is when Redis stopped answering; the zero time while it answers.
func (s *Store) DegradedSince() time.Time {
	at := s.hotGuard.since.Load()
	if other := s.slowGuard.since.Load(); at == 0 || other != 0 && other < at {
		at = other
	}
	if at == 0 {
		return time.Time{}
	}
	return time.Unix(0, at)
}

// RoundTrips is how often Redis was asked since the start: by what requests wait for, and by everything else. A script that
// Redis did not know yet is two.
func (s *Store) RoundTrips() (hot, slow int64) {
	return s.hotGuard.trips.Load(), s.slowGuard.trips.Load()
}

func unavailable(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", state.ErrUnavailable, err)
}

// Advance is an INCRBY and an EXPIRE in one round trip.
func (s *Store) Advance(ctx context.Context, pool string, n int64) (int64, error) {
	ctx, cancel := within(ctx, s.budgets.hot)
	defer cancel()
	var end *redis.IntCmd
	_, err := s.hot.Pipelined(ctx, func(p redis.Pipeliner) error {
		end = p.IncrBy(ctx, s.keys.cursor(pool), n)
		p.Expire(ctx, s.keys.cursor(pool), cursorLife)
		return nil
	})
	if err != nil {
		return 0, unavailable(err)
	}
	return end.Val() - n, nil
}

// Fail runs fail.lua.
func (s *Store) Fail(ctx context.Context, key string, seen state.Attempts) (state.Attempts, error) {
	ctx, cancel := within(ctx, s.budgets.slow)
	defer cancel()
	sums, err := s.fail.Run(ctx, s.slow, []string{s.keys.seen(key)}, seen.Attempts, seen.Failures,
		bucketWidth.Milliseconds(), int64(state.FailureWindow/bucketWidth)).Int64Slice()
	if err != nil {
		return state.Attempts{}, unavailable(err)
	}
	return state.Attempts{Attempts: sums[0], Failures: sums[1]}, nil
}

// Rest runs rest.lua. Times are sent as spans, so that the clock of Redis is the only one that counts.
func (s *Store) Rest(ctx context.Context, r state.Rest) error {
	ctx, cancel := within(ctx, s.budgets.slow)
	defer cancel()
	now := time.Now()
	err := s.rest.Run(ctx, s.slow, s.restKeys(), subjectName(r.Subject), string(r.Reason), now.Sub(r.Since).Milliseconds(),
		r.Until.Sub(now).Milliseconds(), r.Repeat, mostRests, state.RestMemory.Milliseconds(), s.keys.restsChannel()).Err()
	return unavailable(err)
}

// Wake runs wake.lua.
func (s *Store) Wake(ctx context.Context, subject state.Subject) error {
	ctx, cancel := within(ctx, s.budgets.slow)
	defer cancel()
	err := s.wake.Run(ctx, s.slow, s.restKeys(), subjectName(subject), s.keys.restsChannel()).Err()
	if err == nil && subject.Scope == proxy.ByKey {
		err = s.slow.Del(ctx, s.keys.seen(subject.ID)).Err()
	}
	return unavailable(err)
}

func (s *Store) restKeys() []string {
	return []string{s.keys.rests(), s.keys.ends(), s.keys.restsVersion()}
}

// Rests reads the whole hash.
func (s *Store) Rests(ctx context.Context) ([]state.Rest, error) {
	ctx, cancel := within(ctx, s.budgets.slow)
	defer cancel()
	all, err := s.slow.HGetAll(ctx, s.keys.rests()).Result()
	if err != nil {
		return nil, unavailable(err)
	}
	there, err := s.slow.Time(ctx).Result()
	if err != nil {
		return nil, unavailable(err)
	}
	ahead := time.Since(there) // what has to be added to a time of Redis to have one of ours
	rests := make([]state.Rest, 0, len(all))
	for name, value := range all {
		r, ok := parseRest(name, value, ahead)
		if ok && time.Since(r.Until) < state.RestMemory {
			rests = append(rests, r)
		}
	}
	return rests, nil
}

// parseRest reads "1 <until ms> <since ms> <repeat> <reason>". A record of a newer version is left alone.
func parseRest(name, value string, ahead time.Duration) (state.Rest, bool) {
	f := strings.SplitN(value, " ", 5)
	subject, ok := parseSubject(name)
	if !ok || len(f) != 5 || f[0] != "1" {
		return state.Rest{}, false
	}
	until, err1 := strconv.ParseInt(f[1], 10, 64)
	since, err2 := strconv.ParseInt(f[2], 10, 64)
	repeat, err3 := strconv.Atoi(f[3])
	if err1 != nil || err2 != nil || err3 != nil {
		return state.Rest{}, false
	}
	return state.Rest{Subject: subject, Reason: proxy.Reason(f[4]), Repeat: repeat,
		Until: time.UnixMilli(until).Add(ahead), Since: time.UnixMilli(since).Add(ahead)}, true
}

// subjectName is "scope/id/model" with the parts escaped, so that each name is one subject.
func subjectName(s state.Subject) string {
	escape := strings.NewReplacer("%", "%25", "/", "%2F", "{", "%7B", "}", "%7D").Replace
	return string(s.Scope) + "/" + escape(s.ID) + "/" + escape(s.Model)
}

func parseSubject(name string) (state.Subject, bool) {
	parts := strings.Split(name, "/")
	if len(parts) != 3 {
		return state.Subject{}, false
	}
	plain := strings.NewReplacer("%2F", "/", "%7B", "{", "%7D", "}", "%25", "%").Replace
	return state.Subject{Scope: proxy.Scope(parts[0]), ID: plain(parts[1]), Model: plain(parts[2])}, true
}

// Claim is SET NX PX.
func (s *Store) Claim(ctx context.Context, subject state.Subject, ttl time.Duration) (bool, error) {
	ctx, cancel := within(ctx, s.budgets.hot)
	defer cancel()
	won, err := s.hot.SetNX(ctx, s.keys.claim(subject), s.epoch, ttl).Result()
	return won, unavailable(err)
}

// Release runs release.lua.
func (s *Store) Release(ctx context.Context, subject state.Subject) error {
	ctx, cancel := within(ctx, s.budgets.slow)
	defer cancel()
	return unavailable(s.release.Run(ctx, s.slow, []string{s.keys.claim(subject)}, s.epoch).Err())
}
