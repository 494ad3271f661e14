package config

import "slices"

// value is what JSON and YAML have in common: a tree whose every part knows where it was written.
type value struct {
	kind         kind
	text         string // of a scalar, as it was written; of a text, without quotes and escapes
	line, column int    // where it begins, both from 1; column in characters
	items        []value
	fields       []field // in the order of the file
}

// field is one field of an object; name is its value's neighbour and has its own place.
type field struct {
	name  value
	value value
}

// kind is the type of a value.
type kind uint8

const (
	isNull kind = iota
	isFlag
	isNumber
	isText
	isList
	isObject
)

// String says what a value of this kind must be, in words that fit JSON and YAML.
func (k kind) String() string {
	return [...]string{"null", "true or false", "a number", "a text (put it in quotes)", "a list [...]",
		"an object {...}"}[k]
}

// fault is something that keeps a file from being read, or a part of it from having one meaning.
type fault struct {
	line, column int
	text         string
}

// field returns the first field of that name. A second one is a fault of the parser's.
func (v value) field(name string) (field, bool) {
	i := slices.IndexFunc(v.fields, func(f field) bool { return f.name.text == name })
	if i < 0 {
		return field{}, false
	}
	return v.fields[i], true
}

// add adds a field, or returns what is wrong with it.
func (v *value) add(f field) []fault {
	if first, doubled := v.field(f.name.text); doubled {
		return []fault{{f.name.line, f.name.column, "this field was set before, " + where(first.name)}}
	}
	v.fields = append(v.fields, f)
	return nil
}
