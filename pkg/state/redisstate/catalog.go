package redisstate

import (
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"openai-api-proxy/pkg/state"
)

const (
	// tokenLife is how long an Apply is recognised that comes twice: longer than the library goes on trying.
	tokenLife = time.Minute
	// itemsAtOnce is how many items are read or filled in one trip, so that Redis is never busy with them for long.
	itemsAtOnce = 500
)

var (
	//go:embed cfgapply.lua
	cfgapplySource string
	//go:embed cfgrestore.lua
	cfgrestoreSource string
)

// catalog is what the catalog needs besides the clients.
type catalog struct {
	apply, restore          *redis.Script
	versionsKept, notesKept int64
}

func newCatalog() catalog {
	return catalog{apply: redis.NewScript(cfgapplySource), restore: redis.NewScript(cfgrestoreSource),
		versionsKept: state.ChangesKept, notesKept: state.NotesKept}
}

// Apply runs cfgapply.lua. It is not repeated after an answer that was lost: the error is then ErrUncertain too. The
// library repeats it in a Cluster, and so it carries a token that is applied once.
func (s *Store) Apply(ctx context.Context, known int64, changes []state.Change, note state.Note) (int64, error) {
	if err := state.CheckChanges(changes); err != nil {
		return 0, err
	}
	text, err := json.Marshal(note)
	if err != nil {
		return 0, err
	}
	if err := ctx.Err(); err != nil {
		return 0, unavailable(err)
	}
	ctx, cancel := within(ctx, s.budgets.slow)
	defer cancel()
	args := make([]any, 0, 6+3*len(changes))
	args = append(args, known, text, state.VersionsKept(s.catalog.versionsKept, len(changes)), s.catalog.notesKept,
		tokenLife.Milliseconds(), s.keys.catalogChannel())
	for _, c := range changes {
		args = append(args, itemName(c.Kind, c.ID), c.Expect, changed(c.Value))
	}
	reply, err := s.catalog.apply.Run(ctx, s.slow, s.applyKeys(rand.Text()), args...).Slice()
	if err != nil {
		return 0, notApplied(err)
	}
	return applied(reply, changes)
}

func (s *Store) applyKeys(token string) []string {
	return []string{s.keys.items(), s.keys.catalogVersion(), s.keys.catalogLog(), s.keys.notes(), s.keys.applied(token)}
}

// changed is a value as cfgapply.lua wants it: nothing means that the item is deleted.
func changed(value []byte) []byte {
	if value == nil {
		return nil
	}
	return append([]byte{':'}, value...)
}

// notApplied tells what certainly was not done from what may have been.
func notApplied(err error) error {
	if mayHaveRun(err) {
		return fmt.Errorf("%w: %w: %w", state.ErrUnavailable, state.ErrUncertain, err)
	}
	return unavailable(err)
}

// applied reads the answer of cfgapply.lua.
func applied(reply []any, changes []state.Change) (int64, error) {
	what, n := reply[0].(string), reply[1].(int64)
	switch what {
	case "ok":
		return n, nil
	case "stale":
		return 0, fmt.Errorf("%w: it is at version %d", state.ErrStale, n)
	default:
		c := changes[n-1]
		return 0, &state.Conflict{Kind: c.Kind, ID: c.ID, Revision: reply[2].(int64)}
	}
}

// itemName is "kind/id"; neither has a slash.
func itemName(kind, id string) string { return kind + "/" + id }

// parseItem reads an item that is kept as "<revision>:<value>".
func parseItem(name, text string) (state.Item, error) {
	kind, id, ok := strings.Cut(name, "/")
	revision, value, ok2 := strings.Cut(text, ":")
	n, err := strconv.ParseInt(revision, 10, 64)
	if !ok || !ok2 || err != nil {
		return state.Item{}, fmt.Errorf("the item %q in Redis cannot be read", name)
	}
	return state.Item{Kind: kind, ID: id, Revision: n, Value: []byte(value)}, nil
}
