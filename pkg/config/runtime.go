package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"openai-api-proxy/pkg/proxy"
)

// This file reads what operators configure while the proxy runs: the same fields as in the file, with the same mistakes.

// ReadKey reads one key from a JSON object with the fields of the file. endpoint is for keys that name no baseUrl. The
// error is a Mistakes.
func ReadKey(text []byte, endpoint string) (*proxy.Key, error) {
	l := &loader{cfg: &Config{BaseURL: endpoint}}
	f, err := l.objectIn(text, "key")
	if err != nil {
		return nil, err
	}
	e, _ := l.key(f, SourceRuntime)
	if len(l.mistakes) > 0 {
		return nil, l.mistakes
	}
	return e.is, nil
}

// ReadClient reads one client from a JSON object with the fields of the file. The error is a Mistakes.
func ReadClient(text []byte) (Client, error) {
	l := new(loader)
	f, err := l.objectIn(text, "client")
	if err != nil {
		return Client{}, err
	}
	e, _ := client(f)
	if len(l.mistakes) > 0 {
		return Client{}, l.mistakes
	}
	e.is.Source = SourceRuntime
	return e.is, nil
}

// objectIn is the one JSON object that a text must be.
func (l *loader) objectIn(text []byte, name string) (*fields, error) {
	at := variableAt(name)
	v, faults := parseJSON(text)
	for _, f := range faults {
		l.wrong(at, "%s (line %d, column %d)", f.text, f.line, f.column)
	}
	if len(faults) > 0 {
		return nil, l.mistakes
	}
	f, ok := spot{&l.notes, v, at}.object()
	if !ok {
		return nil, l.mistakes
	}
	return f, nil
}

// Where keys and clients come from.
const (
	SourceFile        = "file"
	SourceEnvironment = "environment"
	SourceRuntime     = "api"
)

// Setting is one of the Settings by its name in the file, "failover.maxRetries". Durations are whole milliseconds.
type Setting struct {
	Name  string
	Value any // string, int64 or []string
}

// List returns all settings in the order of the file.
func (s *Settings) List() []Setting {
	f := &s.Failover
	return []Setting{
		{"strategy", s.Strategy},
		{"streamUsage", s.StreamUsage},
		{"limits.replayBytes", s.Limits.ReplayBytes},
		{"operations.allow", notNil(s.Operations.Allow)},
		{"operations.deny", notNil(s.Operations.Deny)},
		{"failover.maxRetries", int64(f.MaxRetries)},
		{"failover.retryDelay", f.RetryDelay.Milliseconds()},
		{"failover.failureThreshold", int64(f.FailureThreshold)},
		{"failover.openTimeout", f.OpenTimeout.Milliseconds()},
		{"failover.maxRest", f.MaxRest.Milliseconds()},
		{"failover.deadline", f.Deadline.Milliseconds()},
		{"failover.headerTimeout", f.HeaderTimeout.Milliseconds()},
		{"probe.interval", s.Probe.Interval.Milliseconds()},
	}
}

func notNil(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

var settingName = regexp.MustCompile(`^[A-Za-z]{1,32}(\.[A-Za-z]{1,32})?$`)

// Override puts values, JSON by the names of Setting, in the place of what the settings say. The error is a Mistakes.
func (s Settings) Override(values map[string]json.RawMessage) (Settings, error) {
	text, err := nest(values)
	if err != nil {
		return s, Mistakes{{Place: "settings", Text: err.Error()}}
	}
	l := new(loader)
	root, err := l.objectIn(text, "settings")
	if err != nil {
		return s, err
	}
	s.read(root)
	root.end()
	if len(l.mistakes) > 0 {
		return s, l.mistakes
	}
	return s, nil
}

// nest makes an object of the file's form out of values by dotted names.
func nest(values map[string]json.RawMessage) ([]byte, error) {
	root, groups := map[string]any{}, map[string]map[string]json.RawMessage{}
	for name, value := range values {
		if !settingName.MatchString(name) {
			return nil, errors.New("there is a name that cannot be that of a setting")
		}
		group, member, nested := strings.Cut(name, ".")
		if !nested {
			if !slices.ContainsFunc((&Settings{}).List(), func(s Setting) bool { return s.Name == name }) {
				return nil, fmt.Errorf("%s is no setting; settings in groups are named like failover.maxRetries", name)
			}
			root[name] = value
			continue
		}
		if groups[group] == nil {
			groups[group] = map[string]json.RawMessage{}
		}
		groups[group][member] = value
	}
	for group, members := range groups {
		root[group] = members
	}
	text, err := json.Marshal(root)
	if err != nil {
		return nil, errors.New("the values are not JSON")
	}
	return text, nil
}
