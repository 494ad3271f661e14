package cli

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// keyQuery are the filters that lists of keys take.
type keyQuery struct{ state, source, tag, account, pool, model, text string }

func (k *keyQuery) flags(f *flag.FlagSet) {
	f.StringVar(&k.state, "state", "", "only those in one of these `states`: active, open, cooling, limited, exhausted, invalid, disabled, ...")
	f.StringVar(&k.source, "source", "", "only those `from` file, environment or api")
	f.StringVar(&k.tag, "tag", "", "only those with the `tag`")
	f.StringVar(&k.account, "account", "", "only those of the account with this `name`")
	f.StringVar(&k.pool, "pool", "", "only those of the pool with this `name`")
	f.StringVar(&k.model, "model", "", "only those that serve the model with this `name`")
	f.StringVar(&k.text, "q", "", "only those with the `text` in their id, account, note, tags or masked key")
}

func (k *keyQuery) values() url.Values {
	return query("state", k.state, "source", k.source, "tag", k.tag, "account", k.account, "pool", k.pool, "model", k.model, "q", k.text)
}

func keysList() *command {
	var filter keyQuery
	var paged paging
	return &command{name: "keys list", about: "list upstream keys, with how they are",
		more: "Keys are shown masked; nobody can read them back.",
		flags: func(f *flag.FlagSet) {
			filter.flags(f)
			paged.flags(f, "id, state, account, weight, requests, failures or created")
		},
		run: func(ctx context.Context, s *session) error {
			t := &table{head: []string{"ID", "KEY", "STATE", "UNTIL", "ACCOUNT", "POOL", "WEIGHT", "MODELS", "TAGS", "REQUESTS", "FAILURES", "FROM"}}
			return listed(ctx, s, "/api/keys", filter.values(), &paged, t, func(k key) {
				n := used(k.Usage)
				t.add(k.ID, k.Key, k.State, k.Until, k.Account, k.Pool, k.Weight, k.Models, k.Tags, n.Requests, n.Failures, k.Source)
			})
		}}
}

func used(u *usageSummary) usageSummary {
	if u == nil {
		return usageSummary{SuccessRate: 1}
	}
	return *u
}

func keysShow() *command {
	return &command{name: "keys show", args: "ID", about: "show all that is known of a key", least: 1, most: 1,
		run: func(ctx context.Context, s *session) error { return shown(ctx, s, "keys") }}
}

// shown prints one key or client, a field a line.
func shown(ctx context.Context, s *session, kind string) error {
	var fields map[string]json.RawMessage
	text, err := s.api.get(ctx, item(kind, s.args[0]), nil, &fields)
	if done, err := s.answered(text, err); done {
		return err
	}
	return s.fields(text)
}

// fields prints the members of an object in the order in which they came.
func (s *session) fields(object []byte) error {
	from := json.NewDecoder(strings.NewReader(string(object)))
	if _, err := from.Token(); err != nil {
		return err
	}
	t := &table{head: []string{"FIELD", "VALUE"}}
	for from.More() {
		name, err := from.Token()
		if err != nil {
			return err
		}
		var value json.RawMessage
		if err := from.Decode(&value); err != nil {
			return err
		}
		t.add(fmt.Sprint(name), unquoted(value))
	}
	s.print(t)
	return nil
}

// unquoted is a JSON value as people read it.
func unquoted(value json.RawMessage) string {
	var plain string
	if json.Unmarshal(value, &plain) == nil { // null too
		return plain
	}
	return string(value)
}

func keysAdd() *command {
	var made spec
	var file string
	return &command{name: "keys add", about: "add an upstream key while the proxy runs",
		more: "The key is read from standard input, or from --key-file; it is never an argument, which would end in the history of\n" +
			"your shell: openai-api-proxy keys add --id main < key.txt",
		flags: func(f *flag.FlagSet) {
			made.flags(f, keyFields())
			f.StringVar(&file, "key-file", "", "`file` with the key")
		},
		run: func(ctx context.Context, s *session) error {
			secret, err := s.secret(ctx, file)
			if err != nil {
				return err
			}
			made.values["key"] = secret
			var k key
			if done, err := s.answered(s.api.call(ctx, "POST", "/api/keys", nil, asJSON(made.values), &k)); done {
				return err
			}
			fmt.Fprintf(s.Out, "added %s (%s)\n", cell(k.ID), cell(k.Key))
			return nil
		}}
}

// secret reads one key from a file or from standard input.
func (s *session) secret(ctx context.Context, file string) (string, error) {
	text, err := s.read(ctx, file, "the key, then Enter (it is not shown): ")
	if err != nil {
		return "", err
	}
	secret := strings.TrimSpace(string(text))
	switch {
	case secret == "":
		return "", misused("no key was given: standard input is empty")
	case strings.ContainsAny(secret, "\r\n"):
		return "", misused("one key is expected and there are several lines; see openai-api-proxy help keys import")
	}
	return secret, nil
}

func keysExport() *command {
	var filter keyQuery
	return &command{name: "keys export", about: "print keys as the configuration file has them, without their secrets", flags: filter.flags,
		run: func(ctx context.Context, s *session) error {
			resp, err := s.api.send(ctx, "GET", "/api/keys/export", filter.values(), nil)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			if _, err := io.Copy(s.Out, resp.Body); err != nil {
				return fmt.Errorf("the export broke off: %w", err)
			}
			fmt.Fprintln(s.Out)
			return nil
		}}
}

func keysReset() *command {
	return &command{name: "keys reset", args: "ID...", about: "let keys be used again at once, whatever kept them from that", least: 1, most: -1,
		run: func(ctx context.Context, s *session) error {
			var done struct{ Reset int }
			text, err := s.api.call(ctx, "POST", "/api/keys/reset", nil, asJSON(map[string]any{"ids": s.args}), &done)
			return s.told(text, err, "reset %d keys", &done.Reset)
		}}
}

func keysRemove() *command {
	return &command{name: "keys rm", args: "ID...", about: "delete keys that were added while the proxy ran, all or none", least: 1, most: -1,
		more: "Keys of file and environment can be disabled here, and deleted there.",
		run: func(ctx context.Context, s *session) error {
			var done struct{ Deleted int }
			text, err := s.api.call(ctx, "POST", "/api/keys/delete", nil, asJSON(map[string]any{"ids": s.args}), &done)
			return s.told(text, err, "deleted %d keys", &done.Deleted)
		}}
}

// told prints what became of a call that changes several.
func (s *session) told(text []byte, err error, format string, n *int) error {
	if done, err := s.answered(text, err); done {
		return err
	}
	fmt.Fprintf(s.Out, format+"\n", *n)
	return nil
}

func keysSwitch(word string, on bool) *command {
	return &command{name: "keys " + word, args: "ID...", about: word + " keys", least: 1, most: -1,
		run: func(ctx context.Context, s *session) error { return switched(ctx, s, "keys", word, on) }}
}

// switched enables or disables each of several. It goes on behind one that it cannot.
func switched(ctx context.Context, s *session, kind, word string, on bool) error {
	return s.each(func(id string) error {
		text, err := s.api.call(ctx, http.MethodPatch, item(kind, id), nil, asJSON(map[string]bool{"enabled": on}), nil)
		if err == nil && s.json {
			return s.raw(text)
		} else if err == nil {
			fmt.Fprintf(s.Out, "%sd %s\n", word, cell(id))
		}
		return err
	})
}

// each does something to each of the arguments, and fails when any of it did.
func (s *session) each(do func(id string) error) error {
	failed := false
	for _, id := range s.args {
		if err := do(id); err != nil {
			failed = true
			s.say("%s: %s", cell(id), oneLine(err.Error()))
		}
	}
	if failed {
		return errTold
	}
	return nil
}
