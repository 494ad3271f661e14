package config

import (
	"regexp"
	"slices"
	"strings"
	"time"
)

// spot is a value in its place, where mistakes about it are noted.
type spot struct {
	*notes
	value
	at place
}

// is notes a mistake when the value is of another kind.
func (s spot) is(want kind) bool {
	if s.kind != want {
		s.wrong(s.at, "must be %v", want)
	}
	return s.kind == want
}

// object returns the fields of a value that must have some.
func (s spot) object() (*fields, bool) {
	return &fields{notes: s.notes, in: s.value, at: s.at}, s.is(isObject)
}

// list returns the items of a value that must be a list.
func (s spot) list() []spot {
	if !s.is(isList) {
		return nil
	}
	all := make([]spot, len(s.items))
	for i, v := range s.items {
		all[i] = spot{s.notes, v, s.at.item(i, v)}
	}
	return all
}

// fields are those of one object. Each is taken by name, which makes the name a known one; end then reports the rest. A
// field that is null counts as absent.
type fields struct {
	*notes
	in    value
	at    place
	known []string
}

func (f *fields) has(name string) bool {
	x, _ := f.in.field(name)
	return x.value.kind != isNull
}

// take returns the field of that name, if there is one.
func (f *fields) take(name string) (spot, bool) {
	f.known = append(f.known, name)
	if !f.has(name) {
		return spot{}, false
	}
	found, _ := f.in.field(name)
	return spot{f.notes, found.value, f.at.field(name, found.value)}, true
}

// get reads a text that has a notation of its own. An empty text counts as absent.
func get[T any](f *fields, name string, parse func(string) (T, error)) (v T, set bool) {
	s, ok := f.take(name)
	if !ok || !s.is(isText) || s.text == "" {
		return v, false
	}
	v, err := parse(s.text)
	if err != nil {
		s.wrong(s.at, "%v", err)
		return v, false
	}
	return v, true
}

// need is get for a field that must be there.
func need[T any](f *fields, name string, parse func(string) (T, error)) (v T, set bool) {
	if x, _ := f.in.field(name); !f.has(name) || x.value.kind == isText && x.value.text == "" {
		f.known = append(f.known, name)
		f.wrong(f.at, "needs the field %q", name)
		return v, false
	}
	return get(f, name, parse)
}

// getAll reads a list of texts.
func getAll[T any](f *fields, name string, parse func(string) (T, error)) (all []T) {
	s, ok := f.take(name)
	if !ok {
		return nil
	}
	for _, item := range s.list() {
		if !item.is(isText) {
			continue
		}
		v, err := parse(item.text)
		if err != nil {
			item.wrong(item.at, "%v", err)
			continue
		}
		all = append(all, v)
	}
	return all
}

// some is getAll for a list that restricts something: an empty one could mean everything or nothing.
func some[T any](f *fields, name string, parse func(string) (T, error)) []T {
	if s, ok := f.in.field(name); ok && s.value.kind == isList && len(s.value.items) == 0 {
		f.wrong(f.at.field(name, s.value), "must have an entry; leave the field out for no restriction")
	}
	return getAll(f, name, parse)
}

// whole reads a whole number.
func (f *fields) whole(name string, fallback, least, most int64) int64 {
	s, ok := f.take(name)
	if !ok {
		return fallback
	}
	if n, ok := s.whole(least, most); ok {
		return n
	}
	return fallback
}

func (s spot) whole(least, most int64) (int64, bool) {
	if s.kind != isNumber {
		s.wrong(s.at, "must be a whole number")
		return 0, false
	}
	n, err := wholeNumber(s.text, least, most)
	if err != nil {
		s.wrong(s.at, "%v", err)
	}
	return n, err == nil
}

func (f *fields) milliseconds(name string, fallback, least, most time.Duration) time.Duration {
	n := f.whole(name, fallback.Milliseconds(), least.Milliseconds(), most.Milliseconds())
	return time.Duration(n) * time.Millisecond
}

// flag reads true or false.
func (f *fields) flag(name string, fallback bool) bool {
	s, ok := f.take(name)
	if !ok || !s.is(isFlag) {
		return fallback
	}
	return s.text == "true"
}

// object reads a field that has fields.
func (f *fields) object(name string) (*fields, bool) {
	s, ok := f.take(name)
	if !ok {
		return nil, false
	}
	return s.object()
}

// end reports the fields that nobody took.
func (f *fields) end() {
	for _, x := range f.in.fields {
		name := x.name.text
		switch {
		case slices.Contains(f.known, name):
		case !presentable.MatchString(name):
			f.wrong(f.at.within(f.at.path, x.name), "has an unknown field")
		default:
			f.wrong(f.at.field(name, x.name), "unknown field%s", didYouMean(name, f.known))
		}
	}
}

// presentable are names of fields that may be repeated in a mistake: no secret has only letters.
var presentable = regexp.MustCompile(`^[A-Za-z_]{1,24}$`)

// didYouMean proposes the known name that is at most two slips away.
func didYouMean(name string, known []string) string {
	best, least := "", 3
	for _, k := range known {
		if d := slips(strings.ToLower(name), strings.ToLower(k)); d < least && d < len(k) {
			best, least = k, d
		}
	}
	if best == "" {
		return ""
	}
	return `; did you mean "` + best + `"?`
}

// slips is the number of letters to put in, leave out or exchange to get from one word to the other.
func slips(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
