package catalog

import (
	"context"
	"errors"
	"sync"
	"time"

	"openai-api-proxy/pkg/seal"
	"openai-api-proxy/pkg/state"
)

const (
	// syncWithin bounds one look at the state.
	syncWithin = 30 * time.Second
	// againAfter is the pause after one that failed.
	againAfter = time.Second
	// resealAtOnce is how many items are sealed anew in one change.
	resealAtOnce = 100
)

// Follower keeps a Catalog at the version that the state has.
type Follower struct {
	c    *Catalog
	hint chan struct{}
	end  context.CancelFunc
	done sync.WaitGroup
}

// Follow begins to take over changes when it is told of them, and seals anew what was sealed with an older key. Stop it.
func (c *Catalog) Follow() *Follower {
	f := &Follower{c: c, hint: make(chan struct{}, 1)}
	ctx, end := context.WithCancel(context.Background())
	f.end = end
	f.done.Go(func() { f.run(ctx) })
	return f
}

// Stop ends it and waits.
func (f *Follower) Stop() {
	f.end()
	f.done.Wait()
}

// CatalogChanged tells that the state is at a version. It does not wait.
func (f *Follower) CatalogChanged(version int64) {
	if version == f.c.Current().Version {
		return
	}
	select {
	case f.hint <- struct{}{}:
	default: // it will look anyway
	}
}

func (f *Follower) run(ctx context.Context) {
	f.c.reseal(ctx)
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.hint:
		}
		for f.look(ctx) != nil {
			select {
			case <-ctx.Done():
				return
			case <-time.After(againAfter):
			}
		}
	}
}

func (f *Follower) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, syncWithin)
	defer cancel()
	err := f.c.Sync(ctx)
	if err != nil && ctx.Err() == nil {
		f.c.Log.Debug("the catalog is not followed", "error", err)
	}
	return err
}

// reseal seals anew what was sealed with a key that is not the first one any more, so that the old one can be taken off the
// list. Another replica may do the same at the same time: each change expects what was read.
func (c *Catalog) reseal(ctx context.Context) {
	var changes []state.Change
	for _, e := range c.sealedBefore() {
		text, err := c.Box.Open(place(e.Kind, e.ID), e.Value)
		if errors.Is(err, seal.ErrNoKey) || err != nil {
			continue
		}
		changes = append(changes, state.Change{Kind: e.Kind, ID: e.ID, Value: c.Box.Seal(place(e.Kind, e.ID), text), Expect: e.Revision})
	}
	total := len(changes)
	for len(changes) > 0 && ctx.Err() == nil {
		n := min(len(changes), resealAtOnce)
		note := Actor{Name: "proxy"}.note("catalog.reseal", "", "sealed with the first encryption key")
		if err := c.apply(ctx, note, changes[:n]...); err != nil {
			c.Log.Debug("not sealed anew", "error", err)
			return // another replica does it, or the next start
		}
		changes = changes[n:]
	}
	if total > 0 {
		c.Log.Info("sealed anew with the first encryption key", "items", total)
	}
}

func (c *Catalog) sealedBefore() (old []state.Item) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.items {
		if c.Box.Old(e.Value) {
			old = append(old, e.Item)
		}
	}
	return old
}
