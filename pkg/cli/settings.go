package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
)

func settingsGet(name string) *command {
	return &command{name: name, args: "[NAME...]", about: "show the settings, with where each comes from", most: -1,
		run: func(ctx context.Context, s *session) error {
			var a settingsAnswer
			if done, err := s.answered(s.api.get(ctx, "/api/settings", nil, &a)); done {
				return err
			}
			return s.settings(&a, s.args)
		}}
}

// settings prints those that are named, or all.
func (s *session) settings(a *settingsAnswer, names []string) error {
	all := append(append([]setting{}, a.Settings...), a.Fixed...)
	if len(names) == 1 { // for scripts: the value alone
		for _, one := range all {
			if one.Name == names[0] {
				fmt.Fprintln(s.Out, cell(unquoted(one.Value)))
				return nil
			}
		}
	}
	t := &table{head: []string{"NAME", "VALUE", "FROM"}}
	found := map[string]bool{}
	for i, one := range all {
		if len(names) > 0 && !contains(names, one.Name) {
			continue
		}
		found[one.Name] = true
		from := one.Source
		if i >= len(a.Settings) {
			from += " (needs a restart)"
		}
		t.add(one.Name, unquoted(one.Value), from)
	}
	for _, name := range names {
		if !found[name] {
			return fmt.Errorf("there is no setting %s; `openai-api-proxy settings` lists them", oneLine(name))
		}
	}
	if len(names) == 0 {
		t.add("(who may call)", map[bool]string{true: "whoever holds an upstream key", false: "clients"}[a.Auth.Mode == "keys"], "")
	}
	s.print(t)
	return nil
}

func contains(all []string, one string) bool {
	for _, a := range all {
		if a == one {
			return true
		}
	}
	return false
}

func settingsSet() *command {
	return &command{name: "settings set", args: "NAME=VALUE...", about: "change settings on all replicas, without a restart", least: 1, most: -1,
		more: "Values are JSON, or plain text: strategy=weighted failover.maxRetries=2 'operations.deny=[\"POST /v1/images/edits\"]'",
		run: func(ctx context.Context, s *session) error {
			patch, names := map[string]any{}, []string{}
			for _, arg := range s.args {
				name, value, found := strings.Cut(arg, "=")
				if !found || name == "" {
					return misused("a setting is given like strategy=weighted")
				}
				patch[name], names = jsonOr(value), append(names, name)
			}
			return s.patched(ctx, patch, names)
		}}
}

func settingsUnset() *command {
	return &command{name: "settings unset", args: "NAME...", about: "take changes back: what file or default say counts again", least: 1, most: -1,
		run: func(ctx context.Context, s *session) error {
			patch := map[string]any{}
			for _, name := range s.args {
				patch[name] = json.RawMessage("null")
			}
			return s.patched(ctx, patch, s.args)
		}}
}

// patched changes settings and shows how they are then.
func (s *session) patched(ctx context.Context, patch map[string]any, names []string) error {
	var a settingsAnswer
	if done, err := s.answered(s.api.call(ctx, "PATCH", "/api/settings", nil, asJSON(patch), &a)); done {
		return err
	}
	if len(names) == 1 {
		names = append(names, names[0]) // a table, not the value alone
	}
	return s.settings(&a, names)
}
