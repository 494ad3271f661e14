package catalog

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"openai-api-proxy/pkg/config"
	"openai-api-proxy/pkg/state"
)

// Setting is one setting with where its value comes from.
type Setting struct {
	Name       string
	Value      any // in force
	Default    any
	Configured any    // by file or default, what an override replaces
	Source     string // "default", "file" or "api"
}

// Settings lists what can be set at run time.
func (s *Snapshot) List() []Setting {
	defaults := config.DefaultSettings()
	configured, builtIn := s.Base.Settings.List(), defaults.List()
	all := make([]Setting, 0, len(configured))
	for i, now := range s.Settings.List() {
		setting := Setting{Name: now.Name, Value: now.Value, Default: builtIn[i].Value, Configured: configured[i].Value,
			Source: "default"}
		if _, overridden := s.Overrides[now.Name]; overridden {
			setting.Source = config.SourceRuntime
		} else if !same(setting.Configured, setting.Default) {
			setting.Source = config.SourceFile
		}
		all = append(all, setting)
	}
	return all
}

func same(a, b any) bool {
	if list, ok := a.([]string); ok {
		return slices.Equal(list, b.([]string))
	}
	return a == b
}

// PatchSettings overrides settings by their names; null takes an override back. Errors are *proxy.Fault.
func (c *Catalog) PatchSettings(ctx context.Context, who Actor, patch json.RawMessage) error {
	members, err := object(patch)
	if err != nil {
		return err
	}
	now := c.Current()
	next := maps.Clone(now.Overrides)
	var changes []state.Change
	for _, id := range slices.Sorted(maps.Keys(members)) {
		change := state.Change{Kind: state.SettingItem, ID: id, Expect: state.Anything}
		if value := members[id]; string(value) == "null" {
			delete(next, id)
		} else {
			next[id], change.Value = value, value
		}
		changes = append(changes, change)
	}
	// Judged together with what is overridden already: two settings may have to agree.
	set, err := now.Base.Settings.Override(next)
	if err == nil && c.Check != nil {
		err = c.Check(&set)
	}
	if err != nil {
		return invalid(err)
	}
	if len(changes) == 0 {
		return nil
	}
	return c.apply(ctx, who.note("settings.update", "", strings.Join(slices.Sorted(maps.Keys(members)), " ")), changes...)
}
