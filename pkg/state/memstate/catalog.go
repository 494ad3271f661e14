package memstate

import (
	"context"
	"fmt"
	"sync"

	"openai-api-proxy/pkg/state"
)

// catalog is what operators configure. It is written at once: whoever was told that a key is stored may rely on it.
type catalog struct {
	mu      sync.Mutex // guards all below; held while the file is written, so that memory is never ahead of it
	version int64
	items   map[itemName]state.Item
	log     [][]itemName // what each of the latest versions changed; the last is of version
	notes   []numbered   // oldest first

	versionsKept, notesKept int64 // set before use
}

type itemName struct{ kind, id string }

func newCatalog() catalog {
	return catalog{items: map[itemName]state.Item{}, versionsKept: state.ChangesKept, notesKept: state.NotesKept}
}

// Apply writes the changes to disk before it answers. A failure means that nothing was changed.
func (s *Store) Apply(ctx context.Context, known int64, changes []state.Change, note state.Note) (int64, error) {
	if err := state.CheckChanges(changes); err != nil {
		return 0, err
	}
	if err := ctx.Err(); err != nil {
		return 0, unavailable(err)
	}
	c := &s.catalog
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.version < known {
		return 0, fmt.Errorf("%w: it is at version %d", state.ErrStale, c.version)
	}
	if err := c.expectLocked(changes); err != nil {
		return 0, err
	}
	version := c.version + 1
	items, names := make([]state.Item, len(changes)), make([]itemName, len(changes))
	for i, ch := range changes {
		items[i] = itemOf(ch, version)
		names[i] = itemName{ch.Kind, ch.ID}
	}
	remembered := c.numberLocked(s.stamp(note))
	if err := s.file.writeCatalog(version, items, remembered, c.forgottenLocked(1)); err != nil {
		return 0, unavailable(err)
	}
	c.putLocked(items)
	c.rememberLocked(remembered)
	c.version = version
	c.log = append(c.log, names)
	if over := len(c.log) - int(state.VersionsKept(c.versionsKept, len(changes))); over > 0 {
		clear(c.log[:over]) // the names are to be freed before the list is
		c.log = c.log[over:]
	}
	return version, nil
}

// itemOf is the item that a change makes; the value is copied, since it is the caller's.
func itemOf(c state.Change, version int64) state.Item {
	if c.Value == nil {
		return state.Item{Kind: c.Kind, ID: c.ID, Revision: version, Deleted: true}
	}
	return state.Item{Kind: c.Kind, ID: c.ID, Revision: version, Value: append([]byte{}, c.Value...)}
}

// expectLocked finds the first change whose expectation does not hold.
func (c *catalog) expectLocked(changes []state.Change) error {
	for _, ch := range changes {
		revision := c.items[itemName{ch.Kind, ch.ID}].Revision // Nothing when there is none
		if ch.Expect != state.Anything && ch.Expect != revision {
			return &state.Conflict{Kind: ch.Kind, ID: ch.ID, Revision: revision}
		}
	}
	return nil
}

func (c *catalog) putLocked(items []state.Item) {
	for _, i := range items {
		name := itemName{i.Kind, i.ID}
		if i.Deleted {
			delete(c.items, name)
		} else {
			c.items[name] = i
		}
	}
}

// Items does not fail, but for a caller who left.
func (s *Store) Items(ctx context.Context) ([]state.Item, int64, error) {
	if err := ctx.Err(); err != nil {
		return nil, 0, unavailable(err)
	}
	c := &s.catalog
	c.mu.Lock()
	defer c.mu.Unlock()
	items := make([]state.Item, 0, len(c.items))
	for _, i := range c.items {
		items = append(items, copied(i))
	}
	return items, c.version, nil
}

// copied is an item whose value the caller may change.
func copied(i state.Item) state.Item {
	i.Value = append([]byte{}, i.Value...)
	return i
}

// Since looks back as far as this process has seen the changes.
func (s *Store) Since(ctx context.Context, version int64) ([]state.Item, int64, error) {
	if err := ctx.Err(); err != nil {
		return nil, 0, unavailable(err)
	}
	c := &s.catalog
	c.mu.Lock()
	defer c.mu.Unlock()
	behind := c.version - version
	if behind < 0 || behind > int64(len(c.log)) {
		return nil, 0, fmt.Errorf("%w: version %d, the state is at %d", state.ErrGap, version, c.version)
	}
	var items []state.Item
	seen := map[itemName]bool{}
	for _, names := range c.log[len(c.log)-int(behind):] {
		for _, name := range names {
			if !seen[name] {
				seen[name] = true
				items = append(items, c.nowLocked(name))
			}
		}
	}
	return items, c.version, nil
}

// nowLocked is an item as it is now, which may be gone.
func (c *catalog) nowLocked(name itemName) state.Item {
	if i, found := c.items[name]; found {
		return copied(i)
	}
	return state.Item{Kind: name.kind, ID: name.id, Deleted: true}
}

// Restore puts all items in the place of those there are, in one transaction.
func (s *Store) Restore(ctx context.Context, items []state.Item, version int64) error {
	if err := state.CheckItems(items); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return unavailable(err)
	}
	c := &s.catalog
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.version >= version {
		return nil
	}
	restored := make(map[itemName]state.Item, len(items))
	for _, i := range items {
		if !i.Deleted {
			restored[itemName{i.Kind, i.ID}] = copied(i)
		}
	}
	if err := s.file.replaceCatalog(version+state.RestoreLeap, restored); err != nil {
		return unavailable(err)
	}
	c.items, c.version, c.log = restored, version+state.RestoreLeap, nil
	return nil
}

func unavailable(err error) error { return fmt.Errorf("%w: %w", state.ErrUnavailable, err) }
