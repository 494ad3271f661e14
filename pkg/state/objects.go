package state

import (
	"context"
	"errors"
	"time"

	"openai-api-proxy/pkg/proxy"
)

// ErrNoObject means that a list was to go on at an object that the owner has not.
var ErrNoObject = errors.New("no such object")

// Objects is whose the objects are that are stored upstream, and in which account they lie. An owner sees its own only: what
// is another's is not there.
type Objects interface {
	// KeepObjects remembers that the objects are the owner's. One that is known already is as it is told last.
	KeepObjects(ctx context.Context, owner string, objects []proxy.Object) error

	// FindObjects returns those of the ids that are the owner's, in any order.
	FindObjects(ctx context.Context, owner string, ids []proxy.ObjectID) ([]proxy.Object, error)

	// ForgetObjects forgets those of the ids that are the owner's.
	ForgetObjects(ctx context.Context, owner string, ids []proxy.ObjectID) error

	// TakeObject forgets an object of the owner, and reports whether it was there: of several who take one, one gets it.
	TakeObject(ctx context.Context, owner string, id proxy.ObjectID) (bool, error)

	// ListObjects lists what the owner has of a family. ErrNoObject: q.From is not there.
	ListObjects(ctx context.Context, owner string, q proxy.ObjectQuery) (proxy.ObjectPage, error)
}

const (
	// MostObjects bounds the objects of an owner in each family; beyond it the oldest are forgotten.
	MostObjects = 100_000
	// PassingLife is how long objects are remembered that the upstream forgets within a month; see openai.Family.Passes.
	PassingLife = 30 * 24 * time.Hour
	// GoneMemory is how long a list can go on at an object that was forgotten.
	GoneMemory = time.Hour
	// MostGone bounds those of an owner and family.
	MostGone = 10_000
)
