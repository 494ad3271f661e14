package state

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Catalog is the part of a Store that keeps what operators configure while the proxy runs. It knows nothing of what the
// items mean: their values are bytes, sealed where they hold a secret.
//
// Every change makes a new version, by one. A replica reads everything once and then follows the changes; the version
// tells it that it missed none.
type Catalog interface {
	// Apply makes all changes or none, and returns the version that they make together. A change whose expectation does
	// not hold is a *Conflict. known is the latest version that the caller has seen: a state that is older than that has
	// lost something, and answers ErrStale rather than to build on it; see Restore. The note is remembered with them.
	// ErrUncertain, besides ErrUnavailable, means that they may have been made all the same: who must know reads again.
	Apply(ctx context.Context, known int64, changes []Change, note Note) (version int64, err error)

	// Items returns all items and the version at which they stood, or an earlier one: changes that come while they are
	// read may be among them already, and come again from Since.
	Items(ctx context.Context) (items []Item, version int64, err error)

	// Since returns the items that changed after the version, each as it is now, and the version that they lead to. ErrGap
	// means that the changes are not remembered that far back, or that the state is older than the version.
	Since(ctx context.Context, version int64) (changed []Item, now int64, err error)

	// Restore puts back all items as they were at the version into a state that is older than it: emptied, or a copy that
	// had not heard of the last changes. It makes a version RestoreLeap above, so that every replica reads everything
	// anew, those too that know a little more than the one that restores. A state that is as new as the version is left
	// alone. Either way the caller reads everything again.
	Restore(ctx context.Context, items []Item, version int64) error

	// Note remembers what an operator did without changing an item.
	Note(ctx context.Context, n Note) error

	// Notes returns what operators did, newest first, and where to go on; an empty next means that there is no more.
	Notes(ctx context.Context, after string, limit int) (notes []Note, next string, err error)
}

var (
	// ErrGap means that a catalog cannot say what changed since a version: read all of it.
	ErrGap = errors.New("changes are not remembered that far back")
	// ErrStale means that the catalog is older than what the caller has seen.
	ErrStale = errors.New("the catalog is older than what is known of it")
	// ErrUncertain means that the answer to Apply was lost: the changes may have been made or not.
	ErrUncertain = errors.New("the changes may have been made all the same")
)

// Kinds of items. An item is named by its kind and its id, both without slashes.
const (
	KeyItem      = "key"
	ClientItem   = "client"
	OverrideItem = "override" // of a key or client that is configured elsewhere
	SettingItem  = "setting"
)

// Item is one configured thing.
type Item struct {
	Kind     string
	ID       string
	Revision int64 // the version that changed it last
	Value    []byte
	Deleted  bool // only in what Since returns
}

// What a Change may expect of the item, besides a revision.
const (
	Anything int64 = -1 // there may be one or not
	Nothing  int64 = 0  // there must be none
)

// Change puts an item in the place of another, or deletes it.
type Change struct {
	Kind   string
	ID     string
	Value  []byte // nil: the item is deleted
	Expect int64  // revision that it must have, Anything or Nothing
}

// Conflict is the first change whose expectation did not hold.
type Conflict struct {
	Kind     string
	ID       string
	Revision int64 // of the item as it is; Nothing: there is none
}

func (c *Conflict) Error() string {
	return fmt.Sprintf("%s %s is at revision %d", c.Kind, c.ID, c.Revision)
}

const (
	// MostChanges bounds the changes of one Apply. Each names another item.
	MostChanges = 5000
	// ChangesKept is about how many versions Since can look back.
	ChangesKept = 10_000
	// NamesKept bounds what Since remembers when many items change at once: see VersionsKept.
	NamesKept = 500_000
	// NotesKept is about how many notes are remembered.
	NotesKept = 10_000
	// RestoreLeap is how far Restore goes beyond the version that it restores.
	RestoreLeap = 1000
)

// Note is what an operator did. It holds no secret.
type Note struct {
	At      time.Time `json:"at"` // set by the state
	Actor   string    `json:"actor"`
	Address string    `json:"address,omitempty"`
	Action  string    `json:"action"`  // "key.create"
	Subject string    `json:"subject"` // id of what it was done to; empty: of several, or of none
	Detail  string    `json:"detail,omitempty"`
	Replica string    `json:"replica,omitempty"`
}

// Replica is one instance as it tells of itself with each heartbeat.
type Replica struct {
	ID      string        `json:"id"`
	Host    string        `json:"host"`
	Address string        `json:"address"`
	Version string        `json:"version"` // of the program
	Started time.Time     `json:"started"`
	Config  ReplicaConfig `json:"config"`
	Ready   bool          `json:"ready"`
	Serving int64         `json:"serving"` // requests in flight
}

// ReplicaConfig is the configuration that a replica runs.
type ReplicaConfig struct {
	Fingerprint string     `json:"fingerprint"` // of file and environment
	Version     int64      `json:"version"`     // of the catalog
	Refreshed   int64      `json:"refreshed"`   // the last order to read the file anew that it carried out
	Loaded      time.Time  `json:"loaded"`
	Error       string     `json:"error,omitempty"` // why a newer file is not in force
	ErrorSince  *time.Time `json:"errorSince,omitempty"`
}
