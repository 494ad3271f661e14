package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Mistakes are all that is wrong with a configuration: those of the file first, by line, then those of the environment.
type Mistakes []Mistake

// Mistake is one of them. Neither text holds a value from the configuration.
type Mistake struct {
	Place string // "config.yaml:12:5 clients[1].rpm", "OPENAI_API_KEYS[2].weight", "DRAIN_TIMEOUT"
	Text  string // "must be between 1 and 1000"

	line, column int // in the file; 0 in the environment
}

func (m Mistake) String() string { return m.Place + ": " + m.Text }

// Error has one mistake on each line.
func (ms Mistakes) Error() string {
	lines := make([]string, len(ms))
	for i, m := range ms {
		lines[i] = m.String()
	}
	return strings.Join(lines, "\n")
}

// sort puts the file before the environment, and leaves the latter in the order in which it is read.
func (ms Mistakes) sort() {
	slices.SortStableFunc(ms, func(a, b Mistake) int {
		if inFile, otherInFile := a.line > 0, b.line > 0; inFile != otherInFile {
			if inFile {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(a.line, b.line), cmp.Compare(a.column, b.column))
	})
}

// notes collects mistakes and warnings.
type notes struct {
	mistakes Mistakes
	warnings []string
}

func (n *notes) wrong(at place, format string, args ...any) {
	n.mistakes = append(n.mistakes, Mistake{at.String(), fmt.Sprintf(format, args...), at.line, at.column})
}

func (n *notes) warn(at place, format string, args ...any) {
	n.warnings = append(n.warnings, at.String()+": "+fmt.Sprintf(format, args...))
}

// place is where something is written.
type place struct {
	source       string // path of the file, or name of the variable
	line, column int    // from 1, in characters; 0 in a variable, which has one line only
	path         string // "clients[1].rpm"; within a variable it continues the name: "[2].weight"
}

func variableAt(name string) place { return place{source: name} }

func (p place) String() string {
	if p.line == 0 {
		return p.source + p.path
	}
	s := fmt.Sprintf("%s:%d:%d", p.source, p.line, p.column)
	if p.path != "" {
		s += " " + p.path
	}
	return s
}

// field is the place of a field of what is here; v is what begins there.
func (p place) field(name string, v value) place {
	path := name
	if p.path != "" || p.line == 0 {
		path = p.path + "." + name
	}
	return p.within(path, v)
}

// item is the place of an item of the list that is here.
func (p place) item(i int, v value) place { return p.within(fmt.Sprintf("%s[%d]", p.path, i), v) }

func (p place) within(path string, v value) place {
	if p.line == 0 {
		return place{source: p.source, path: path}
	}
	return place{p.source, v.line, v.column, path}
}
