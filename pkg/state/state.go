// Package state is the seam between the proxy and what its replicas share. It speaks of positions, charges, rests and
// counts, not of Redis or files; memstate and redisstate implement it and statetest proves them alike. README.md beside
// this file lists what is kept, under which key, for how long.
package state

import (
	"context"
	"errors"
	"time"

	"openai-api-proxy/pkg/proxy"
)

// ErrUnavailable means that the store could not answer in time. It never means that somebody is over a limit.
var ErrUnavailable = errors.New("shared state is not available")

// Store is everything that is shared. An implementation bounds its own waiting, may be used by many goroutines at once,
// and answers ErrUnavailable, wrapped, for every failure that is not a caller's mistake.
type Store interface {
	Catalog

	// Advance takes the next n positions of the pool's cursor and returns the first of them. A pool that was never seen
	// starts at 0.
	Advance(ctx context.Context, pool string, n int64) (first int64, err error)

	// Spend takes every charge of the subject or none. A refusal names the limit and when to come back, and consumes
	// nothing. A charge with cost 0 only reads its balance.
	Spend(ctx context.Context, subject string, charges []Charge) (Verdict, error)

	// Fail adds attempts and failures of a key to what all replicas saw of it, and returns the sums of the last
	// FailureWindow.
	Fail(ctx context.Context, key string, seen Attempts) (Attempts, error)

	// Rest puts a subject to rest, or lengthens its rest: of two rests of one subject the one that ends later is kept.
	Rest(ctx context.Context, r Rest) error

	// Wake ends a rest, and forgets how often it was repeated and, of a key, the failures that led to it.
	Wake(ctx context.Context, s Subject) error

	// Rests lists the rests that have not ended, and those that ended less than RestMemory ago, which count when the
	// next one is doubled.
	Rests(ctx context.Context) ([]Rest, error)

	// Claim gives one caller of the whole fleet the right to probe the subject, for at most ttl.
	Claim(ctx context.Context, s Subject, ttl time.Duration) (bool, error)

	// Release gives back a claim of this store, so that somebody else may probe before its ttl ends. It leaves the claims
	// of others alone.
	Release(ctx context.Context, s Subject) error

	// What happened when: usage, and the latest requests.
	History

	// Close writes what is not yet written and gives the store up.
	Close() error
}

const (
	// FailureWindow is the span over which failures are summed.
	FailureWindow = 30 * time.Second
	// RestMemory is how long the repetitions of a rest are remembered after it ended.
	RestMemory = 10 * time.Minute
)

// Attempts are a number of attempts, and how many of them failed.
type Attempts struct{ Attempts, Failures int64 }

// Subject is what may rest. ID is a key, an account or an endpoint, as the scope says; Model only with ByModel and
// ByEndpointMdl.
type Subject struct {
	Scope proxy.Scope
	ID    string
	Model string
}

// Rest is a span in which a subject is left alone.
type Rest struct {
	Subject
	Reason proxy.Reason
	Since  time.Time
	Until  time.Time
	Repeat int // how many rests came before this one without a success between
}

// Charge is an amount to be taken from one limit of a subject: of a rate, or of a quota.
type Charge struct {
	Limit string // names it in verdicts and in the store: "rpm", "requests/day"; unique among a subject's charges
	Cost  int64
	Rate  Rate  // used when Rate.Count > 0
	Quota Quota // used otherwise
}

// Rate lets Burst through at once and refills Count in every Per. It is kept as one theoretical arrival time, the
// virtual scheduling algorithm (GCRA) of ITU-T I.371.
type Rate struct {
	Count int64
	Per   time.Duration
	Burst int64
}

// Quota lets Limit through in each calendar period.
type Quota struct {
	Limit  int64
	Period proxy.Period
}

// Verdict answers Spend. Balances has one entry for each charge, in order, after the spending.
type Verdict struct {
	OK         bool
	Refused    string        // the limit that refused
	RetryAfter time.Duration // until it would not; for a quota, until the period ends; negative: never
	Balances   []Balance
}

// Balance is what is left of a limit.
type Balance struct {
	Limit string
	Left  int64
	Reset time.Duration // until all of it is there again; negative: never
}
