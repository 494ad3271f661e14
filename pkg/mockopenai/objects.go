package mockopenai

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// mostObjects bounds what one account stores; the oldest are dropped.
const mostObjects = 10_000

// mostHeld bounds the bytes of all the files that the accounts store. A file that does not fit is refused: what is stored is whole.
const mostHeld = 64 << 20

// objects are what the accounts have stored.
type objects struct {
	mu    sync.Mutex // guards all that follows, and the fields of the objects
	all   map[string]*shelf
	made  int64 // so far, in all accounts
	start int64 // unix s; each object is a second younger than the one before it
}

// shelf is what one account has stored.
type shelf struct {
	byPath map[string]*object
	order  []*object // the oldest first
}

// object is something that is stored: a JSON object whose id is the last segment of its path.
type object struct {
	path    string
	fields  map[string]any
	looked  bool
	content []byte   // of a file that was uploaded, or of a part of one
	size    int64    // of all that was uploaded
	files   []string // ids of those in a batch of a vector store
	input   string   // of a response, or the messages of a chat: JSON
	work    *work    // of a response that is made in the background; nil: it is not
	created int64
}

func (o *object) id() string { _, id := cutLast(o.path); return id }

// kind is that of the collection that the object lies in.
func (o *object) kind() kind {
	collection, _ := cutLast(o.path)
	k, _ := kindOf(collection)
	return k
}

// parent is the path of the object that it lies in.
func (o *object) parent() string {
	collection, _ := cutLast(o.path)
	path, _ := cutLast(collection)
	return path
}

func newObjects(now time.Time) *objects {
	return &objects{all: map[string]*shelf{}, start: now.Add(-24 * time.Hour).Unix()}
}

func (o *objects) clear() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.all = map[string]*shelf{}
}

// heldLocked is how many bytes the files have.
func (o *objects) heldLocked() (n int64) {
	for _, s := range o.all {
		for _, one := range s.order {
			n += int64(len(one.content))
		}
	}
	return n
}

func (o *objects) shelfLocked(account string) *shelf {
	s := o.all[account]
	if s == nil {
		s = &shelf{byPath: map[string]*object{}}
		o.all[account] = s
	}
	return s
}

// next is when the next object is made, in seconds.
func (o *objects) next() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strconv.FormatInt(o.nextLocked(), 10)
}

// nextLocked is when the next object is made.
func (o *objects) nextLocked() int64 {
	o.made++
	return o.start + o.made
}

func (s *shelf) add(one *object) {
	if old := s.byPath[one.path]; old != nil {
		s.drop(old)
	}
	if len(s.order) >= mostObjects {
		s.drop(s.order[0])
	}
	s.byPath[one.path] = one
	s.order = append(s.order, one)
}

// drop takes an object away with all that lies in it.
func (s *shelf) drop(one *object) {
	s.order = slices.DeleteFunc(s.order, func(o *object) bool {
		gone := o == one || strings.HasPrefix(o.path, one.path+"/")
		if gone {
			delete(s.byPath, o.path)
		}
		return gone
	})
}

// in are the objects of a collection, the newest first.
func (s *shelf) in(collection string) (all []*object) {
	for _, o := range slices.Backward(s.order) {
		if before, _ := cutLast(o.path); before == collection {
			all = append(all, o)
		}
	}
	return all
}

// page is a part of a list, as the query wants it, or why it cannot be had.
func page(all []*object, query url.Values, limit int) (part []*object, more bool, no *refusal) {
	if status := query.Get("filter"); status != "" {
		all = slices.DeleteFunc(all, func(o *object) bool { return o.fields["status"] != status })
	}
	if query.Get("order") == "asc" {
		slices.Reverse(all)
	}
	for _, name := range []string{"after", "before"} {
		id := query.Get(name)
		if id == "" {
			continue
		}
		i := slices.IndexFunc(all, func(o *object) bool { return o.id() == id })
		if i < 0 {
			return nil, false, badRequest(name, "No such object: "+id)
		}
		if name == "before" {
			return all[max(i-limit, 0):i], i > limit, nil
		}
		all = all[i+1:]
	}
	if len(all) > limit {
		return all[:limit], true, nil
	}
	return all, false, nil
}
