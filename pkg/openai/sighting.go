package openai

import (
	"slices"
	"time"
)

// mostSighted bounds the objects that one answer may tell of.
const mostSighted = 1000

// Sighting is an object of which an answer told.
type Sighting struct {
	Family  Family
	ID      string
	Created time.Time // zero: the answer has not said so far
}

type sighted struct {
	Sighting
	object string
	again  bool // its time was found after it was told
}

// sight notes an object. An event may tell of one that was told of before.
func (f *Finder) sight(w want, id string) {
	known := slices.ContainsFunc(f.found, func(s sighted) bool { return s.Family == w.family && s.ID == id })
	if known || len(f.found) == mostSighted {
		return
	}
	s := sighted{Sighting: Sighting{Family: w.family, ID: id}, object: w.object}
	if at := f.times[w.object]; at > 0 {
		s.Created = time.Unix(at, 0).UTC()
	}
	f.found = append(f.found, s)
	f.changed = true
}

// dated notes when the object at a path was made. Only the first object there has that time.
func (f *Finder) dated(object string, at int64) {
	if f.times[object] > 0 {
		return
	}
	f.times[object] = at
	for i := range f.found {
		if s := &f.found[i]; s.object == object && s.Created.IsZero() {
			s.Created, s.again, f.changed = time.Unix(at, 0).UTC(), i < f.told, true
		}
	}
}

// Found are the objects that were found since it was asked last, and those of which it has become known since when they are.
func (f *Finder) Found() (found []Sighting) {
	if !f.changed {
		return nil
	}
	for i := range f.found {
		if s := &f.found[i]; i >= f.told || s.again {
			s.again = false
			found = append(found, s.Sighting)
		}
	}
	f.told, f.changed = len(f.found), false
	return found
}
