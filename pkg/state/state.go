// Package state is the seam between the proxy and what its replicas share. It speaks of positions, charges, rests and
// counts, not of Redis or files; memstate and redisstate implement it and statetest proves them alike. README.md beside
// this file lists what is kept, under which key, for how long.
package state

import (
	"context"
	"errors"
	"fmt"
	"time"

	"openai-api-proxy/pkg/proxy"
)

// ErrUnavailable means that the store could not answer in time. It never means that somebody is over a limit.
var ErrUnavailable = errors.New("shared state is not available")

// ErrUnsent is an ErrUnavailable of which is known that nothing was asked for, and so nothing done.
var ErrUnsent = fmt.Errorf("%w, and was not asked", ErrUnavailable)

// Store is everything that is shared. An implementation bounds its own waiting, may be used by many goroutines at once,
// and answers ErrUnavailable, wrapped, for every failure that is not a caller's mistake.
type Store interface {
	Catalog

	// Advance takes the next n positions of the pool's cursor and returns the first of them. A pool that was never seen
	// starts at 0.
	Advance(ctx context.Context, pool string, n int64) (first int64, err error)

	// Spend takes every charge of the subject or none. A refusal names the limit that frees last of those that refuse, and
	// when; it consumes nothing. A charge with cost 0 only reads its balance.
	//
	// The reservation is a name that no other request has. It is kept open until Settle, and spending for it again takes
	// nothing more. It may be empty when no charge is a slot and nothing will be settled; then nothing is remembered of it.
	Spend(ctx context.Context, subject, reservation string, charges []Charge) (Verdict, error)

	// Settle replaces what was charged by what was spent, and frees the slots. Each reservation is settled once: telling it
	// again changes nothing, so that all of a list may be told again when an answer was lost.
	Settle(ctx context.Context, settlements []Settlement) error

	// Renew says that the requests of these reservations go on. A slot that nobody renews is free after SlotLife.
	Renew(ctx context.Context, held []Held) error

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

	// What operators are told once.
	Alerts

	// Whose what is, of all that is stored upstream.
	Objects

	// Close writes what is not yet written and gives the store up.
	Close() error
}

const (
	// FailureWindow is the span over which failures are summed.
	FailureWindow = 30 * time.Second
	// RestMemory is how long the repetitions of a rest are remembered after it ended.
	RestMemory = 10 * time.Minute
	// SlotLife is how long a slot is held by a request that nobody renews: a replica that dies frees its own within it.
	SlotLife = 30 * time.Second
	// OpenLife is how long a reservation that nobody renews can be settled. After it the estimate stays charged.
	OpenLife = time.Hour
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
