package admin

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"slices"
	"sort"
	"strings"
)

// place is where something stands in a list: what the list is sorted by, and the id. A page ends at a place, so that the
// next one goes on there whatever came or went meanwhile.
type place struct {
	Number int64  `json:"n,omitempty"`
	Text   string `json:"t,omitempty"`
	ID     string `json:"i"`
}

func (p place) compare(o place) int {
	return cmp.Or(cmp.Compare(p.Number, o.Number), strings.Compare(p.Text, o.Text), strings.Compare(p.ID, o.ID))
}

// paging is how a list is sorted, and which part of it is wanted.
type paging struct {
	sort    string // without the dash
	falling bool
	limit   int
	after   *place // nil: from the beginning
}

const (
	defaultLimit = 50
	mostLimit    = 1000
)

// cursor is how a place is given to who pages. It names the order, which is another list's place otherwise.
type cursor struct {
	Sort string `json:"s"`
	place
}

// paging reads how a list is wanted. The first of the names is the default order.
func (q *query) paging(names ...string) paging {
	given := q.text("sort")
	name, falling := strings.CutPrefix(given, "-")
	if given == "" {
		name = names[0]
	} else if !slices.Contains(names, name) {
		q.wrong("sort", "must be one of "+strings.Join(names, ", ")+", with a dash before it for the other direction")
	}
	p := paging{sort: name, falling: falling, limit: int(q.number("limit", defaultLimit, 1, mostLimit))}
	if text := q.text("after"); text != "" {
		var at cursor
		raw, err := base64.RawURLEncoding.DecodeString(text)
		if err != nil || json.Unmarshal(raw, &at) != nil || at.Sort != p.order() {
			q.wrong("after", "is not where a page of this list ended")
		}
		p.after = &at.place
	}
	return p
}

func (p paging) order() string {
	if p.falling {
		return "-" + p.sort
	}
	return p.sort
}

func (p paging) next(at place) *string {
	raw, _ := json.Marshal(cursor{p.order(), at}) // it has only texts and a number
	text := base64.RawURLEncoding.EncodeToString(raw)
	return &text
}

// ranked is an item with its place.
type ranked[T any] struct {
	place
	item *T
}

// cut sorts the items and cuts out the page. next is nil when it is the last one.
func cut[T any](items []T, p paging, at func(*T) place) (page []*T, next *string) {
	all := make([]ranked[T], len(items))
	for i := range items {
		all[i] = ranked[T]{at(&items[i]), &items[i]}
	}
	compare := func(a, b ranked[T]) int {
		if p.falling {
			return b.compare(a.place)
		}
		return a.compare(b.place)
	}
	if !slices.IsSortedFunc(all, compare) { // by id they are, and that is what is asked for most
		slices.SortFunc(all, compare)
	}
	if p.after != nil {
		after := ranked[T]{place: *p.after}
		all = all[sort.Search(len(all), func(i int) bool { return compare(all[i], after) > 0 }):]
	}
	if len(all) > p.limit {
		all = all[:p.limit]
		next = p.next(all[p.limit-1].place)
	}
	page = make([]*T, len(all))
	for i := range all {
		page[i] = all[i].item
	}
	return page, next
}

// list is the body of an answer that is a page.
type list[T any] struct {
	Data  []T     `json:"data"`
	Total int     `json:"total"`
	Next  *string `json:"next"`
}
