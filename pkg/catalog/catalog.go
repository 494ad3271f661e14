// Package catalog knows what is configured: what file and environment say, and what operators added or overrode while the
// proxy runs. It puts both together in snapshots that never change, so that whoever serves a request holds one view from
// its beginning to its end.
//
// It is the one package below app that sees config: an item that is added at run time has the fields of the file and is
// read by the same reader, with the same mistakes.
//
// Run-time items live in the state. Those that hold an upstream key are sealed; of a client's token only its hash is
// kept. A replica reads all of them once and then follows the changes. A state that has lost some is put right by the
// first replica that finds out: every replica holds all of it.
package catalog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"openai-api-proxy/pkg/config"
	"openai-api-proxy/pkg/seal"
	"openai-api-proxy/pkg/state"
)

// Options are the parts of a Catalog.
type Options struct {
	Store state.Catalog
	Box   *seal.Box // nil: items that hold a secret can be neither added nor read
	// Apply puts a snapshot in force. It is called with one snapshot at a time, each newer than the one before.
	Apply func(*Snapshot)
	// Check says what is wrong with settings that can be read; nil: nothing is.
	Check   func(*config.Settings) error
	Replica string // named in the notes of what was done
	Log     *slog.Logger
	Metrics prometheus.Registerer
}

// Catalog is what is configured. It may be used by many goroutines.
type Catalog struct {
	Options
	metrics *metrics
	current atomic.Pointer[Snapshot]

	mu      sync.Mutex // guards all below; held while the state is asked, so that snapshots come in order
	base    *config.Config
	version int64
	items   map[name]*entry
}

// name is the kind and the id of an item.
type name struct{ kind, id string }

// entry is an item with what it says.
type entry struct {
	state.Item
	key      *keyRecord
	client   *clientRecord
	override *override
}

// unreadable is 1 for an item that is there but cannot be used.
func (e *entry) unreadable() int {
	if e == nil || e.Kind == state.SettingItem || e.key != nil || e.client != nil || e.override != nil {
		return 0
	}
	return 1
}

// New makes a Catalog of what file and environment say. What the state holds comes with the first Sync.
func New(base *config.Config, o Options) *Catalog {
	c := &Catalog{Options: o, base: base, items: map[name]*entry{}}
	c.metrics = newMetrics(o.Metrics, c)
	snapshot, err := c.buildLocked(base)
	if err != nil { // without items there is nothing that could be wrong
		panic(fmt.Sprintf("catalog: %v", err))
	}
	c.current.Store(snapshot)
	return c
}

// Current is the latest snapshot.
func (c *Catalog) Current() *Snapshot { return c.current.Load() }

// Rebase puts another file and environment in the place of those that were read before. The error says why it cannot be
// put in force together with what operators have overridden; then nothing changes.
func (c *Catalog) Rebase(base *config.Config) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	snapshot, err := c.buildLocked(base)
	if err == nil && c.Check != nil {
		err = c.Check(&snapshot.Settings)
	}
	if err != nil {
		return err
	}
	c.base = base
	c.publishLocked(snapshot)
	return nil
}

// Republish puts the latest snapshot in force once more.
func (c *Catalog) Republish() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.publishLocked(c.current.Load())
}

// Sync takes over what changed in the state. Errors are the state's.
func (c *Catalog) Sync(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.syncLocked(ctx)
}

func (c *Catalog) syncLocked(ctx context.Context) error {
	changed, now, err := c.Store.Since(ctx, c.version)
	switch {
	case errors.Is(err, state.ErrGap):
		return c.reloadLocked(ctx)
	case err != nil:
		return fmt.Errorf("catalog: %w", err)
	case now == c.version && c.current.Load().Version == now:
		return nil
	}
	before := make(map[name]*entry, len(changed))
	for _, item := range changed {
		n := name{item.Kind, item.ID}
		if _, twice := before[n]; !twice {
			before[n] = c.items[n]
		}
		c.takeLocked(item)
	}
	c.version = now
	c.mergeLocked(c.amendLocked(before))
	return nil
}

// reloadLocked reads everything. A state that is older than what is known here has lost something and gets it back first.
func (c *Catalog) reloadLocked(ctx context.Context) error {
	items, version, err := c.Store.Items(ctx)
	if err == nil && version < c.version {
		c.Log.Warn("the state has lost what is configured at run time; putting it back", "version", version, "known", c.version)
		if err = c.Store.Restore(ctx, c.rawLocked(), c.version); err == nil {
			items, version, err = c.Store.Items(ctx)
		}
	}
	if err != nil {
		return fmt.Errorf("catalog: %w", err)
	}
	before := c.items
	c.items = make(map[name]*entry, len(items))
	for _, item := range items {
		n := name{item.Kind, item.ID}
		if held := before[n]; held != nil && held.Revision == item.Revision {
			c.items[n] = held
			continue
		}
		c.takeLocked(item)
	}
	c.version = version
	c.mergeLocked(nil, nil)
	return nil
}

func (c *Catalog) rawLocked() []state.Item {
	all := make([]state.Item, 0, len(c.items))
	for _, e := range c.items {
		all = append(all, e.Item)
	}
	return all
}

// takeLocked takes over one item. One that cannot be read is kept as it is, but nothing comes of it.
func (c *Catalog) takeLocked(item state.Item) {
	n := name{item.Kind, item.ID}
	if item.Deleted {
		delete(c.items, n)
		return
	}
	e := &entry{Item: item}
	if err := c.read(e); err != nil {
		c.Log.Error("an item of the catalog cannot be used", "kind", item.Kind, "id", item.ID, "error", err)
	}
	c.items[n] = e
}

// mergeLocked puts what is known in force; nil: all of it is put together first. Overrides that do not go with the file are
// left out, and said.
func (c *Catalog) mergeLocked(snapshot *Snapshot, err error) {
	if snapshot == nil {
		snapshot, err = c.buildLocked(c.base)
	}
	if err != nil {
		c.Log.Error("settings that were overridden do not go with the file; they are left out", "error", err)
	}
	c.publishLocked(snapshot)
}

func (c *Catalog) publishLocked(s *Snapshot) {
	c.Apply(s)
	c.current.Store(s) // only now: what is told of is in force
}
