package memstate

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"openai-api-proxy/pkg/openai"
	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
)

var objectsBucket = []byte("objects")

// objects are what the owners have, on a shelf for each family.
type objects struct {
	mu      sync.Mutex // guards shelves and dirty
	shelves map[shelfName]*shelf
	dirty   map[objectName]bool
	most    int  // objects of a shelf; lower in tests
	filed   bool // there is a file; otherwise nobody asks what is dirty
}

func (o *objects) touchLocked(name objectName) {
	if o.filed {
		o.dirty[name] = true
	}
}

type shelfName struct {
	owner  string
	family openai.Family
}

type objectName struct {
	shelfName
	id string
}

// objectRecord is an object on disk.
type objectRecord struct {
	Account string `json:"account"`
	Created int64  `json:"created"` // unix seconds
}

// spot is where an object stands on its shelf.
type spot struct {
	created int64
	id      string
}

func (s spot) compare(other spot) int {
	return cmp.Or(cmp.Compare(s.created, other.created), cmp.Compare(s.id, other.id))
}

// shelf is what an owner has of a family.
type shelf struct {
	all   map[string]objectRecord
	order []spot // the oldest first
	gone  []gone // the first to be forgotten first
}

type gone struct {
	spot
	until time.Time
}

func newObjects() objects {
	return objects{shelves: map[shelfName]*shelf{}, dirty: map[objectName]bool{}, most: state.MostObjects}
}

func (o *objects) shelfLocked(name shelfName) *shelf {
	found := o.shelves[name]
	if found == nil {
		found = &shelf{all: map[string]objectRecord{}}
		o.shelves[name] = found
	}
	return found
}

func (s *shelf) put(id string, r objectRecord) {
	s.remove(id)
	s.all[id] = r
	at := spot{r.Created, id}
	i, _ := slices.BinarySearchFunc(s.order, at, spot.compare)
	s.order = slices.Insert(s.order, i, at)
}

func (s *shelf) remove(id string) (at spot, found bool) {
	r, found := s.all[id]
	if !found {
		return spot{}, false
	}
	delete(s.all, id)
	at = spot{r.Created, id}
	if i, ok := slices.BinarySearchFunc(s.order, at, spot.compare); ok {
		s.order = slices.Delete(s.order, i, i+1)
	}
	return at, true
}

// KeepObjects never fails. Like Redis it forgets some of what is too old, or too many, for each that comes.
func (s *Store) KeepObjects(_ context.Context, owner string, kept []proxy.Object) error {
	o := &s.objects
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, k := range kept {
		name := shelfName{owner, k.Family}
		on := o.shelfLocked(name)
		on.put(k.ID, objectRecord{k.Account, k.Created.Unix()})
		o.touchLocked(objectName{name, k.ID})
		o.shrinkLocked(name, on, s.now())
	}
	return nil
}

func (o *objects) shrinkLocked(name shelfName, on *shelf, now time.Time) {
	oldest := now.Add(-state.PassingLife).Unix()
	for len(on.order) > o.most || name.family.Passes() && len(on.order) > 0 && on.order[0].created <= oldest {
		at, _ := on.remove(on.order[0].id)
		o.touchLocked(objectName{name, at.id})
	}
}

// FindObjects never fails.
func (s *Store) FindObjects(_ context.Context, owner string, ids []proxy.ObjectID) (found []proxy.Object, err error) {
	o := &s.objects
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, id := range ids {
		if on := o.shelves[shelfName{owner, id.Family}]; on != nil {
			if r, there := on.all[id.ID]; there {
				found = append(found, r.object(id))
			}
		}
	}
	return found, nil
}

func (r objectRecord) object(id proxy.ObjectID) proxy.Object {
	return proxy.Object{ObjectID: id, Account: r.Account, Created: time.Unix(r.Created, 0).UTC()}
}

// ForgetObjects never fails.
func (s *Store) ForgetObjects(_ context.Context, owner string, ids []proxy.ObjectID) error {
	o, now := &s.objects, s.now()
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, id := range ids {
		name := shelfName{owner, id.Family}
		on := o.shelves[name]
		if on == nil {
			continue
		}
		at, found := on.remove(id.ID)
		if !found {
			continue
		}
		o.touchLocked(objectName{name, id.ID})
		on.gone = append(slices.DeleteFunc(on.gone, func(g gone) bool { return now.After(g.until) }), gone{at, now.Add(state.GoneMemory)})
		on.gone = on.gone[max(0, len(on.gone)-state.MostGone):]
	}
	return nil
}

// TakeObject never fails.
func (s *Store) TakeObject(_ context.Context, owner string, id proxy.ObjectID) (bool, error) {
	o, name := &s.objects, shelfName{owner, id.Family}
	o.mu.Lock()
	defer o.mu.Unlock()
	on := o.shelves[name]
	if on == nil {
		return false, nil
	}
	_, taken := on.remove(id.ID)
	if taken {
		o.touchLocked(objectName{name, id.ID})
	}
	return taken, nil
}

// ListObjects fails only with ErrNoObject.
func (s *Store) ListObjects(_ context.Context, owner string, q proxy.ObjectQuery) (page proxy.ObjectPage, err error) {
	o := &s.objects
	o.mu.Lock()
	defer o.mu.Unlock()
	on := o.shelves[shelfName{owner, q.Family}]
	if on == nil {
		on = &shelf{}
	}
	at, err := on.from(q, s.now())
	if err != nil {
		return page, err
	}
	step, end := -1, -1
	if q.Ascending {
		step, end = 1, len(on.order)
	}
	for ; at != end && len(page.Objects) < q.Limit; at += step {
		id := on.order[at].id
		page.Objects = append(page.Objects, on.all[id].object(proxy.ObjectID{Family: q.Family, ID: id}))
	}
	page.More = at != end
	return page, nil
}

// from is the place at which a page begins.
func (s *shelf) from(q proxy.ObjectQuery, now time.Time) (int, error) {
	if q.From == "" {
		if q.Ascending {
			return 0, nil
		}
		return len(s.order) - 1, nil
	}
	at := spot{id: q.From}
	if r, found := s.all[q.From]; found {
		at.created = r.Created
	} else {
		i := slices.IndexFunc(s.gone, func(g gone) bool { return g.id == q.From && now.Before(g.until) })
		if i < 0 {
			return 0, state.ErrNoObject
		}
		at = s.gone[i].spot
	}
	i, there := slices.BinarySearchFunc(s.order, at, spot.compare)
	switch {
	case !q.Ascending:
		return i - 1, nil
	case there:
		return i + 1, nil
	default:
		return i, nil
	}
}

// load puts back what was written; key is that of the bucket.
func (o *objects) load(key string, r objectRecord) {
	part := strings.SplitN(key, "\x00", 3)
	if len(part) == 3 {
		on := o.shelfLocked(shelfName{part[0], openai.Family(part[1])})
		on.all[part[2]] = r
		on.order = append(on.order, spot{r.Created, part[2]})
	}
}

// loaded puts in order what was loaded.
func (o *objects) loaded() {
	o.filed = true
	for _, on := range o.shelves {
		slices.SortFunc(on.order, spot.compare)
	}
}

// collect copies what changed; nil: it is gone.
func (o *objects) collect() map[objectName]*objectRecord {
	o.mu.Lock()
	defer o.mu.Unlock()
	changed := make(map[objectName]*objectRecord, len(o.dirty))
	for name := range o.dirty {
		changed[name] = nil
		if r, found := o.shelfLocked(name.shelfName).all[name.id]; found {
			changed[name] = &r
		}
	}
	clear(o.dirty)
	return changed
}

func (o *objects) remark(changed map[objectName]*objectRecord) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for name := range changed {
		o.touchLocked(name)
	}
}

func (c changes) writeObjects(tx *bbolt.Tx) error {
	var errs []error
	for name, r := range c.objects {
		errs = append(errs, putOrDelete(tx.Bucket(objectsBucket), name.owner+"\x00"+string(name.family)+"\x00"+name.id, r))
	}
	return errors.Join(errs...)
}
