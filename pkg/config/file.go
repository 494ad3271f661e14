package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"
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

const (
	mostRetries   = 10
	mostThreshold = 1000
	mostReplay    = 256 << 20 // what all requests together may hold
)

// settings reads the fields of the file that are neither keys nor clients.
func (l *loader) settings(root *fields) {
	c := l.cfg
	if s, set := get(root, "strategy", oneOf(strategies...)); set {
		c.Strategy = s
	}
	if s, set := get(root, "streamUsage", oneOf(InjectUsage, ObserveUsage)); set {
		c.StreamUsage = s
	}
	if limits, set := root.object("limits"); set {
		c.Limits.ReplayBytes = limits.whole("replayBytes", c.Limits.ReplayBytes, 1, mostReplay)
		limits.end(nil)
	}
	if operations, set := root.object("operations"); set {
		c.Operations.Allow = getAll(operations, "allow", operation)
		c.Operations.Deny = getAll(operations, "deny", operation)
		operations.end(nil)
	}
	if failover, set := root.object("failover"); set {
		c.Failover.read(failover)
		failover.end(nil)
	}
}

// read sets what the file sets.
func (f *Failover) read(from *fields) {
	const most = day
	f.MaxRetries = int(from.whole("maxRetries", int64(f.MaxRetries), 0, mostRetries))
	f.RetryDelay = from.milliseconds("retryDelay", f.RetryDelay, 0, time.Minute)
	f.FailureThreshold = int(from.whole("failureThreshold", int64(f.FailureThreshold), 1, mostThreshold))
	f.OpenTimeout = from.milliseconds("openTimeout", f.OpenTimeout, time.Millisecond, most)
	f.MaxRest = from.milliseconds("maxRest", f.MaxRest, time.Millisecond, most)
	f.Deadline = from.milliseconds("deadline", f.Deadline, time.Millisecond, most)
	f.HeaderTimeout = from.milliseconds("headerTimeout", f.HeaderTimeout, time.Millisecond, most)
	if f.MaxRest < f.OpenTimeout {
		from.wrong(from.at, "maxRest (%d ms) must not be below openTimeout (%d ms)",
			f.MaxRest.Milliseconds(), f.OpenTimeout.Milliseconds())
	}
}

// where says where something was written in the same file.
func where(v value) string { return fmt.Sprintf("in line %d, column %d", v.line, v.column) }
