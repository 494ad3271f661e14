package state

import (
	"bytes"
	"encoding/json"
)

// Page is an answer to a RequestQuery. A page may be empty and not the last: MostScanned requests were looked at and none
// was asked for.
type Page struct {
	Requests []Request
	Next     string // where to go on; empty: there are no more
	// Newest is where the newest of all stood, whether it matched or not. Who follows gives it as Since; of a query with
	// After it is empty.
	Newest string
}

// Filling is a page that a store fills for a query.
type Filling struct {
	Page
	query RequestQuery
	left  int    // requests that may still be looked at
	id    []byte // the id as it is written, quotes and all
	full  bool
}

// Fill begins a page; most is MostScanned, or less in tests. ErrPosition means that After or Since is none.
func Fill(q RequestQuery, most int) (*Filling, error) {
	for _, text := range []string{q.After, q.Since} {
		if text == "" {
			continue
		}
		if _, err := ParsePosition(text); err != nil {
			return nil, err
		}
	}
	f := &Filling{query: q, left: most}
	if q.After == "" {
		f.Newest = q.Since
	}
	if q.ID != "" {
		f.id, _ = json.Marshal(q.ID) // a string can be written
	}
	return f, nil
}

// Add looks at the next request, in the form that Pack gives it. The one at first is the newest. It reports whether the page
// is full. A request that cannot be read, because a newer version wrote it, is passed over.
func (f *Filling) Add(at string, packed []byte) (full bool) {
	if f.Next == "" && f.query.After == "" {
		f.Newest = at
	}
	f.Next = at
	f.left--
	if f.id == nil || bytes.Contains(packed, f.id) { // most have another id and need not be read
		r, err := UnpackRequest(packed)
		if err == nil && (f.id == nil || r.ID == f.query.ID) && (f.query.Match == nil || f.query.Match(&r)) {
			f.Requests = append(f.Requests, r)
		}
	}
	if f.id != nil && len(f.Requests) > 0 { // there is one of an id
		f.full = true
		f.Next = ""
	}
	f.full = f.full || len(f.Requests) >= f.query.Limit || f.left <= 0
	return f.full
}

// Full reports whether nothing more belongs on the page.
func (f *Filling) Full() bool { return f.full }

// Left is how many more requests may be looked at.
func (f *Filling) Left() int { return f.left }

// End says that there are no more requests.
func (f *Filling) End() { f.Next, f.full = "", true }
