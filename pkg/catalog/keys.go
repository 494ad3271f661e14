package catalog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tidwall/sjson"

	"openai-api-proxy/pkg/config"
	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
)

// Added says what became of one key of several.
type Added struct {
	ID  string // empty when it could not be read
	Err error  // a *proxy.Fault; nil: it was added
}

// AddKeys adds keys, each a JSON object with the fields of the file, and says of each what became of it. The error, a
// *proxy.Fault, means that none was added.
func (c *Catalog) AddKeys(ctx context.Context, who Actor, specs []json.RawMessage) ([]Added, error) {
	if c.Box == nil {
		return nil, errNoBox
	}
	if len(specs) > state.MostChanges {
		return nil, proxy.Faultf(proxy.TooLarge, "at most %d keys can be added at once", state.MostChanges)
	}
	results := make([]Added, len(specs))
	changes := map[string]state.Change{} // by id
	at := map[string]int{}               // position of an id in results
	secrets := map[proxy.Secret]bool{}
	for i, spec := range specs {
		k, change, err := c.newKey(spec, secrets)
		if err == nil && changes[k.ID].Value != nil {
			err = proxy.Faultf(proxy.Conflict, "the id is given twice")
		}
		if results[i] = (Added{Err: err}); err != nil {
			continue
		}
		results[i].ID = k.ID
		changes[k.ID], at[k.ID], secrets[k.Secret] = change, i, true
	}
	for len(changes) > 0 {
		all := slices.SortedFunc(maps.Values(changes), func(a, b state.Change) int { return strings.Compare(a.ID, b.ID) })
		subject, detail := "", fmt.Sprintf("%d keys", len(all))
		if len(all) == 1 {
			subject, detail = all[0].ID, ""
		}
		err := c.apply(ctx, who.note("key.create", subject, detail), all...)
		var conflict *state.Conflict
		if !errors.As(err, &conflict) {
			return results, err
		}
		results[at[conflict.ID]].Err = errTaken(conflict.ID) // made elsewhere a moment ago
		delete(changes, conflict.ID)
	}
	return results, nil
}

func errTaken(id string) error { return proxy.Faultf(proxy.Conflict, "there is a key %s already", id) }

// newKey reads a key that is to be added.
func (c *Catalog) newKey(spec json.RawMessage, more map[proxy.Secret]bool) (*proxy.Key, state.Change, error) {
	now := c.Current()
	k, err := config.ReadKey(spec, now.Base.BaseURL)
	if err != nil {
		return nil, state.Change{}, invalid(err)
	}
	if err := now.misplaced(k); err != nil {
		return nil, state.Change{}, err
	}
	if _, taken := now.Key(k.ID); taken {
		return nil, state.Change{}, errTaken(k.ID)
	}
	if holder := now.Holder(k.Secret.Hash()); holder != "" || more[k.Secret] {
		return nil, state.Change{}, proxy.Faultf(proxy.Conflict, "this secret is configured already, as that of %s", or(holder, "another one here"))
	}
	r := keyRecord{Created: time.Now().UTC().Truncate(time.Second)}
	r.Updated = r.Created
	if r.Spec, err = sjson.SetBytes(spec, "id", k.ID); err != nil {
		return nil, state.Change{}, invalid(err)
	}
	change, err := c.change(state.KeyItem, k.ID, state.Nothing, r)
	return k, change, err
}

func or(a, b string) string {
	if a == "" {
		return b
	}
	return a
}

// change makes the change that puts a record in the place of what is expected.
func (c *Catalog) change(kind, id string, expect int64, record any) (state.Change, error) {
	value, err := c.write(kind, id, record)
	if err != nil {
		return state.Change{}, asFault(err)
	}
	return state.Change{Kind: kind, ID: id, Value: value, Expect: expect}, nil
}

// PatchKey changes a key by a JSON Merge Patch. revision is the one that the operator has read, state.Anything: the latest.
// Of a key that is configured elsewhere only enabled can be changed. Errors are *proxy.Fault.
func (c *Catalog) PatchKey(ctx context.Context, who Actor, id string, patch json.RawMessage, revision int64) error {
	now := c.Current()
	held, found := now.Key(id)
	if !found {
		return notFound("key")
	}
	if held.Source != config.SourceRuntime {
		return c.override(ctx, who, configuredElsewhere{state.KeyItem, id, held.Source, c.configured(id)}, patch, revision)
	}
	c.mu.Lock()
	e := c.items[name{state.KeyItem, id}]
	c.mu.Unlock()
	if e == nil || e.key == nil {
		return notFound("key")
	}
	members, err := object(patch)
	if err != nil {
		return err
	}
	spec, err := mergePatch(e.key.Spec, patch)
	if err != nil {
		return invalid(err)
	}
	k, err := config.ReadKey(spec, now.Base.BaseURL)
	if err != nil {
		return invalid(err)
	}
	if k.ID != id {
		return &proxy.Fault{Kind: proxy.InvalidRequest, Param: "id", Public: "the id of a key cannot be changed"}
	}
	if err := now.misplaced(k); err != nil {
		return err
	}
	if holder := now.Holder(k.Secret.Hash()); holder != "" && holder != id {
		return proxy.Faultf(proxy.Conflict, "this secret is configured already, as that of %s", holder)
	}
	r := keyRecord{Spec: spec, Created: e.key.Created, Updated: time.Now().UTC().Truncate(time.Second)}
	change, err := c.change(state.KeyItem, id, expecting(revision, held.Revision), r)
	if err != nil {
		return err
	}
	return c.apply(ctx, who.note("key.update", id, strings.Join(slices.Sorted(maps.Keys(members)), " ")), change)
}

// configured reports whether file or environment say that a key is enabled.
func (c *Catalog) configured(id string) bool {
	for _, k := range c.Current().Base.Keys {
		if k.ID == id {
			return k.Enabled
		}
	}
	return true
}

// DeleteKeys deletes keys, all or none: requests that are under way with them end as they would have. Errors are
// *proxy.Fault; Conflict names the key.
func (c *Catalog) DeleteKeys(ctx context.Context, who Actor, ids []string, revision int64) error {
	now := c.Current()
	var changes []state.Change
	for _, id := range ids {
		held, found := now.Key(id)
		switch {
		case !found:
			return notFound("key")
		case held.Source != config.SourceRuntime:
			return proxy.Faultf(proxy.Conflict, "the key %s is configured in the %s; disable it here, or remove it there", id, held.Source)
		}
		changes = append(changes, state.Change{Kind: state.KeyItem, ID: id, Expect: expecting(revision, held.Revision)})
	}
	if len(changes) > state.MostChanges {
		return proxy.Faultf(proxy.TooLarge, "at most %d keys can be deleted at once", state.MostChanges)
	}
	subject, detail := "", fmt.Sprintf("%d keys", len(ids))
	if len(ids) == 1 {
		subject, detail = ids[0], ""
	}
	return c.apply(ctx, who.note("key.delete", subject, detail), changes...)
}
