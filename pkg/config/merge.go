package config

import (
	"cmp"
	"slices"

	"openai-api-proxy/pkg/proxy"
)

// entry is a key or a client, as one source has it.
type entry[T any] struct {
	is     T
	id     string
	secret proxy.Secret
	at     place
}

// merge keeps each secret once, as the first source that has it says, and returns what is left sorted by id. It is a
// mistake when one source has a secret twice, or when two secrets have one id. what is the word for the secret.
func merge[T any](n *notes, what string, all []entry[T]) []entry[T] {
	bySecret, byID := make(map[proxy.Secret]place, len(all)), make(map[string]place, len(all))
	kept := make([]entry[T], 0, len(all))
	for _, e := range all {
		if first, doubled := bySecret[e.secret]; doubled {
			if first.source == e.at.source {
				n.wrong(e.at, "has the same %s as %v", what, first)
			}
			continue
		}
		bySecret[e.secret] = e.at
		if first, taken := byID[e.id]; taken {
			n.wrong(e.at, "has the same id as %v, but another %s", first, what)
			continue
		}
		byID[e.id] = e.at
		kept = append(kept, e)
	}
	slices.SortFunc(kept, func(a, b entry[T]) int { return cmp.Compare(a.id, b.id) })
	return kept
}

// entries reads the items of a list, and leaves out those that are too broken to be compared with others.
func entries[T any](items []spot, read func(*fields) (entry[T], bool)) []entry[T] {
	all := make([]entry[T], 0, len(items))
	for _, item := range items {
		f, ok := item.object()
		if !ok {
			continue
		}
		if e, ok := read(f); ok {
			all = append(all, e)
		}
	}
	return all
}

// array returns the items of a variable that is a JSON array.
func (l *loader) array(name string) []spot {
	text, at, set := l.lookup(name)
	if !set {
		return nil
	}
	v, faults := parseJSON([]byte(text))
	for _, f := range faults {
		l.wrong(at, "%s (line %d, column %d)", f.text, f.line, f.column)
	}
	if len(faults) > 0 {
		return nil
	}
	return spot{&l.notes, v, at}.list()
}

// array returns the items of a field that is a list.
func (f *fields) array(name string) []spot {
	s, ok := f.take(name)
	if !ok {
		return nil
	}
	return s.list()
}

// identify returns the id that the fields give, or else one that is made from the secret.
func identify(f *fields, prefix string, secret proxy.Secret) string {
	id, set := get(f, "id", identifier)
	if !set {
		return prefix + secret.Fingerprint()
	}
	if id == secret.Reveal() {
		f.wrong(f.at, "has its own secret as id; ids are shown in logs and metrics")
	}
	return id
}
