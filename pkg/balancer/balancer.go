// Package balancer answers: which key next? It knows the strategies, who rests and until when, and a circuit breaker for
// each key. What it learns it applies here at once and tells the other replicas through the state, off the request path.
//
// A position of the shared cursor becomes a key without a table: the slots of a cycle, as many as the sum of the weights,
// are visited with a stride that is coprime to their number and nearest the golden ratio of it. By the three-distance
// theorem the visits of each key lie evenly, every cycle gives each key exactly its weight, and all replicas agree. A
// precomputed smooth sequence would do the same, but ten thousand keys of weight up to 1000 make ten million entries for
// every distinct pool.
//
// Rests are hard or soft. Keys that cool, are open, invalid or exhausted are not used. An overloaded or failing endpoint,
// and a model that an account has no access to, only put a key last: when nothing better is left the upstream is asked
// all the same, so that an outage of the only endpoint is told by the upstream and not made longer by us. An account that
// is close to a rate limit lets the others go first; when they all are, they are used as if none were (see pace.go). A pool
// of one key never rests.
package balancer

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
)

// store is what the balancer needs of the shared state.
type store interface {
	Advance(ctx context.Context, pool string, n int64) (int64, error)
	Spend(ctx context.Context, subject, reservation string, charges []state.Charge) (state.Verdict, error)
	Settle(ctx context.Context, settlements []state.Settlement) error
	Renew(ctx context.Context, held []state.Held) error
	Fail(ctx context.Context, key string, seen state.Attempts) (state.Attempts, error)
	Rest(ctx context.Context, r state.Rest) error
	Wake(ctx context.Context, s state.Subject) error
	Rests(ctx context.Context) ([]state.Rest, error)
	Claim(ctx context.Context, s state.Subject, ttl time.Duration) (bool, error)
	Release(ctx context.Context, s state.Subject) error
}

// Policy says when a key trips and how long subjects rest.
type Policy struct {
	FailureThreshold int           // failures within state.FailureWindow, at least half of the attempts
	OpenTimeout      time.Duration // first rest of what must prove itself afterwards; doubles
	MaxRest          time.Duration
}

// Pool is what keys there are and how they are used, as one configuration says it.
type Pool struct {
	Keys     []*proxy.Key
	Accounts []proxy.Account // those that have limits
	Strategy string          // roundrobin, random, weighted, quota or leastbusy
	Policy   Policy
	// CheckIdle is how long a key may be idle before the upstream is asked about it; 0: it is not asked.
	CheckIdle time.Duration
}

// Options are the parts of a Balancer.
type Options struct {
	Store store
	// LeaseCursor takes positions in blocks, for a state that is a round trip away.
	LeaseCursor bool
	// Confirm asks the upstream whether it accepts a key, before one is put aside for good. nil: a 401 is believed.
	Confirm func(ctx context.Context, k *proxy.Key) proxy.Verdict
	// Replicas is how many replicas share the limits, and the work of looking after idle keys; nil: one.
	Replicas func() int
	Log      *slog.Logger
	Metrics  prometheus.Registerer
}

// Balancer knows how keys are, whatever configuration names them. It may be used by many goroutines.
type Balancer struct {
	Options
	view     atomic.Pointer[View] // the latest one
	restored atomic.Bool
	rules    atomic.Pointer[Policy] // its policy
	known    known
	synced   synced
	outbox   *outbox
	lender   *lender
	metrics  *metrics

	ctx   context.Context // ends with Close
	end   context.CancelFunc
	tasks sync.WaitGroup
}

// New makes a Balancer without keys; see Configure. Close it.
func New(o Options) *Balancer {
	b := &Balancer{Options: o, metrics: newMetrics(o.Metrics)}
	b.known.knowledge = nothing()
	b.ctx, b.end = context.WithCancel(context.Background())
	b.rules.Store(new(Policy))
	b.lender = newLender(b)
	empty, _, _ := newView(b, Pool{}, nil)
	b.view.Store(empty)
	b.outbox = newOutbox(o.Store, o.Log, b.metrics)
	b.tasks.Go(func() { b.outbox.run(b.ctx) })
	b.tasks.Go(b.lender.run)
	if o.Confirm != nil {
		b.tasks.Go(b.lookAfter)
	}
	o.Metrics.MustRegister(&collector{b})
	return b
}

// Restore loads the rests and what is left of quotas. Call it once, before the first Pick.
func (b *Balancer) Restore(ctx context.Context) error {
	rests, err := b.Store.Rests(ctx)
	if err != nil {
		return err
	}
	b.Sync(rests)
	b.restored.Store(true)
	return b.readQuotas(ctx, b.view.Load().keys)
}

// policy is that of the latest configuration.
func (b *Balancer) policy() Policy { return *b.rules.Load() }

// Close ends what runs in the background, after what it had to tell was told.
func (b *Balancer) Close() {
	b.end()
	b.tasks.Wait()
}

// Ask says for what a key is wanted.
type Ask struct {
	Pool    string // of the client
	Model   string
	Account string        // only keys of this one; empty: of any
	Tried   []*proxy.Key  // by this request; never picked again
	Last    proxy.Outcome // of the last try; Served at first
	Need    Need          // of the limits of keys
}

// mostRefused bounds how many candidates may turn out to be taken (a quota, a probe) before Pick gives up.
const mostRefused = 32

// Pick chooses a key. The error is a *proxy.Fault that says when to come back. The Pick must be closed.
func (v *View) Pick(ctx context.Context, ask Ask) (*Pick, error) {
	p := v.pools.of(v, served{ask.Pool, ask.Model})
	s := search{view: v, pool: p, ask: ask, now: time.Now().UnixNano()}
	s.position = v.position(ctx, p, len(ask.Tried) > 0 || ask.Account != "")
	for range mostRefused {
		k, soft := s.findOrAsk()
		if k == nil {
			break
		}
		if pick := v.b.take(ctx, p, k, ask, s.now); pick != nil {
			pick.Soft = soft
			return pick, nil
		}
		s.passOver(k)
	}
	return nil, v.none(p, ask)
}

// take makes the key ours: its limits, its probe if it is on probation, its breaker. nil: somebody else was faster.
func (b *Balancer) take(ctx context.Context, p *pool, k *key, ask Ask, now int64) *Pick {
	pick := &Pick{Key: k.Key, Sole: p.sole, b: b, k: k, model: ask.Model, began: now}
	if !p.sole && !pick.claim(ctx, now) {
		return nil
	}
	if !p.sole {
		done, err := k.breaker.allow()
		if err != nil {
			pick.release()
			return nil
		}
		pick.done = done
	}
	if !pick.draw(ask.Need) { // last, so that no unit is spent for nothing
		pick.Withdraw()
		return nil
	}
	k.inFlight.add(1)
	return pick
}
