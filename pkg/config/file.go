package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
)

// file reads the configuration file: the one that CONFIG_FILE names, or the default one if it is there. Without one,
// and from an empty or a broken one, it returns an object without fields, so that nothing is said of what may be in it.
func (l *loader) file() *fields {
	name, _ := l.src.Env("CONFIG_FILE")
	at := variableAt("CONFIG_FILE")
	named := name != ""
	if !named {
		name, at = defaultFile, variableAt(defaultFile)
	}
	nothing := &fields{notes: &l.notes, in: value{kind: isObject}, at: place{source: name, line: 1, column: 1}}
	data, err := l.src.read(name)
	if err != nil {
		if named || !errors.Is(err, fs.ErrNotExist) {
			l.wrong(at, "%s", unreadable(err))
			l.unread = true
		}
		return nothing
	}
	l.cfg.File = l.src.path(name)
	root, faults := parse(name, data)
	for _, f := range faults {
		l.wrong(place{source: name, line: f.line, column: f.column}, "%s", f.text)
	}
	l.unread = len(faults) > 0
	if l.unread || root.kind == isNull {
		return nothing
	}
	top := spot{&l.notes, root, place{source: name, line: root.line, column: root.column}}
	if all, ok := top.object(); ok {
		return all
	}
	l.unread = true
	return nothing
}

// parse reads a file as what its name says it is, or, when that says nothing, as what it looks like. A file without
// content has kind null: it sets nothing, in either language.
func parse(name string, data []byte) (value, []fault) {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	start := bytes.TrimSpace(data)
	if len(start) == 0 {
		return value{}, nil
	}
	switch strings.ToLower(filepath.Ext(name)) {
	case ".json":
		return parseJSON(data)
	case ".yaml", ".yml":
		return parseYAML(data)
	}
	if start[0] == '{' {
		return parseJSON(data)
	}
	return parseYAML(data)
}

// where says where something was written in the same file.
func where(v value) string { return fmt.Sprintf("in line %d, column %d", v.line, v.column) }
