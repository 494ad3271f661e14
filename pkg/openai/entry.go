package openai

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// entry is an operation as it is looked for, or one that a setting denies.
type entry struct {
	Operation
	segments []string // of the template, without /v1
	literals int      // how many of them are no slots
	denied   bool
}

// NewOperations is the table with what the settings add to it and take from it: "POST /v1/decisions", with {slots}.
// What is denied stays so when it is allowed as well, and a slot in it stands for every name. The error names every
// entry that is not of that form.
func NewOperations(allow, deny []string) (*Operations, error) {
	o := &Operations{bySize: map[int][]entry{}}
	for _, op := range published() {
		o.add(op, false)
	}
	// They come behind what the table knows better, such as where the model is: of equals the first one counts.
	if err := errors.Join(o.read(allow, false), o.read(deny, true)); err != nil {
		return nil, err
	}
	o.remember()
	return o, nil
}

// remember looks once for each path without slots.
func (o *Operations) remember() {
	found := map[route]Match{}
	for _, entries := range o.bySize {
		for _, e := range entries {
			if m, err := o.Match(e.Method, e.Path); err == nil && e.literals == len(e.segments) {
				found[route{e.Method, e.Path}] = m
			}
		}
	}
	o.literal = found
}

func (o *Operations) read(entries []string, denied bool) error {
	var errs []error
	for _, text := range entries {
		op, err := parseEntry(text)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		o.add(op, denied)
	}
	return errors.Join(errs...)
}

func (o *Operations) add(op Operation, denied bool) {
	e := entry{Operation: op, segments: strings.Split(op.Path, "/")[2:], denied: denied}
	for _, s := range e.segments {
		if !isSlot(s) {
			e.literals++
		}
	}
	o.bySize[len(e.segments)] = append(o.bySize[len(e.segments)], e)
}

// methods are those that an entry may name. HEAD goes with GET.
var methods = []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}

// parseEntry reads "METHOD /v1/path".
func parseEntry(text string) (Operation, error) {
	method, path, _ := strings.Cut(text, " ")
	rest, isAPI := strings.CutPrefix(path, "/v1/")
	if !isAPI || !slices.Contains(methods, method) {
		return Operation{}, errEntry(text)
	}
	for segment := range strings.SplitSeq(rest, "/") {
		name := segment
		if isSlot(segment) {
			name = segment[1 : len(segment)-1]
		}
		if name == "" || name == "." || name == ".." || strings.Trim(name, literalBytes) != "" {
			return Operation{}, errEntry(text)
		}
	}
	op := Operation{Method: method, Path: path}
	if strings.Count(rest, "{") > mostSlots {
		return Operation{}, errEntry(text)
	}
	switch {
	case method == http.MethodPost:
		op.Model = ModelInJSON
	case slices.Contains(strings.Split(rest, "/"), modelSlot):
		op.Model = ModelInPath
	}
	if method != http.MethodGet {
		op.Repeat = RepeatAfter5xx
	}
	return op, nil
}

// literalBytes are those of which a literal segment consists: what needs no escape and means nothing else in a path.
const literalBytes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~:"

func errEntry(text string) error {
	return fmt.Errorf("operation %q is not of the form \"POST /v1/path\", with GET, POST, PUT, PATCH or DELETE", text)
}

// fits reports whether the template has the path. A slot has any name but the empty one.
func (e entry) fits(segments []string) bool {
	for i, s := range e.segments {
		if isSlot(s) && segments[i] == "" || !isSlot(s) && s != segments[i] {
			return false
		}
	}
	return true
}

func (e entry) match(segments []string) Match {
	m, slot := Match{Op: e.Operation}, 0
	path := slices.Clone(e.segments)
	for i, s := range path {
		if !isSlot(s) {
			continue
		}
		m.Slots[slot], _ = url.PathUnescape(segments[i]) // checked
		path[i] = segments[i]
		switch {
		case s == modelSlot:
			m.Model = m.Slots[slot]
		case e.Objects != nil && e.Objects.Slots[slot] != "" && IsObjectID(m.Slots[slot]):
			path[i] = m.Slots[slot] // what is looked up is what is asked for
		}
		slot++
	}
	m.Path = "/v1/" + strings.Join(path, "/")
	return m
}

// modelSlot is the slot that names the model.
const modelSlot = "{model}"

func isSlot(segment string) bool {
	return len(segment) > 1 && segment[0] == '{' && segment[len(segment)-1] == '}'
}
