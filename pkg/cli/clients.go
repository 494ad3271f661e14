package cli

import (
	"context"
	"flag"
	"fmt"
)

func clientsList() *command {
	var source, enabled, model, pool, has string
	var paged paging
	return &command{name: "clients list", about: "list who may call",
		flags: func(f *flag.FlagSet) {
			f.StringVar(&source, "source", "", "only those `from` file, environment or api")
			f.StringVar(&enabled, "enabled", "", "only those that are enabled, or not: `true` or false")
			f.StringVar(&model, "model", "", "only those that may use the model with this `name`")
			f.StringVar(&pool, "pool", "", "only those of the pool with this `name`")
			f.StringVar(&has, "q", "", "only those with the `text` in their id or masked tokens")
			paged.flags(f, "id, rpm, requests, failures or created")
		},
		run: func(ctx context.Context, s *session) error {
			t := &table{head: []string{"ID", "ENABLED", "RPM", "BURST", "MODELS", "IPS", "POOL", "EXPIRES", "TOKENS", "REQUESTS", "FAILURES",
				"COST USD", "QUOTA LEFT", "FROM"}}
			q := query("source", source, "enabled", enabled, "model", model, "pool", pool, "q", has)
			return listed(ctx, s, "/api/clients", q, &paged, t, func(c client) {
				n := used(c.Usage)
				t.add(c.ID, c.Enabled, limit(c.RPM), limit(c.Burst), c.Models, c.IPs, c.Pool, c.Expires, masked(c.Tokens), n.Requests,
					n.Failures, n.CostUSD, quotasLeft(c.Balances), c.Source)
			})
		}}
}

// limit is a limit as people read it; 0 is none.
func limit(n int64) string {
	if n == 0 {
		return ""
	}
	return cell(n)
}

// quotasLeft is what is left of each quota, and of how much.
func quotasLeft(balances []quotaBalance) (all []string) {
	for _, b := range balances {
		all = append(all, fmt.Sprintf("%s/%s %s %s", b.Left, b.Limit, b.Measure, b.Period))
	}
	return all
}

func masked(tokens []tokenShown) (all []string) {
	for _, t := range tokens {
		all = append(all, t.Masked)
	}
	return all
}

func clientsShow() *command {
	return &command{name: "clients show", args: "ID", about: "show all that is known of a client", least: 1, most: 1,
		run: func(ctx context.Context, s *session) error { return shown(ctx, s, "clients") }}
}

func clientsAdd() *command {
	var made spec
	var quiet bool
	return &command{name: "clients add", about: "add a client and print its token, this once",
		more: "The first client ends for good that upstream keys are tokens. Fields without a flag of their own are set by --set, with\n" +
			"the names of the configuration file.",
		flags: func(f *flag.FlagSet) {
			made.flags(f, clientFields())
			f.BoolVar(&quiet, "quiet", false, "print the token and nothing else")
		},
		run: func(ctx context.Context, s *session) error {
			var now settingsAnswer
			if _, err := s.api.get(ctx, "/api/settings", nil, &now); err != nil {
				return err
			}
			var c client
			text, err := s.api.call(ctx, "POST", "/api/clients", nil, asJSON(made.values), &c)
			if err != nil {
				return err
			}
			if now.Auth.Mode == "keys" {
				s.say("note: from now on callers need a client's token; upstream keys are no longer accepted as tokens")
			}
			return s.token(&c, text, quiet, "added")
		}}
}

func clientsRotate() *command {
	var keep string
	var quiet bool
	return &command{name: "clients rotate", args: "ID", about: "give a client another token and print it, this once", least: 1, most: 1,
		flags: func(f *flag.FlagSet) {
			f.StringVar(&keep, "keep", "", "how `long` the present token still holds, such as 24h; at most 720h, not at all otherwise")
			f.BoolVar(&quiet, "quiet", false, "print the token and nothing else")
		},
		run: func(ctx context.Context, s *session) error {
			var body *payload
			if keep != "" {
				body = asJSON(map[string]string{"keepOldFor": keep})
			}
			var c client
			text, err := s.api.call(ctx, "POST", item("clients", s.args[0], "rotate"), nil, body, &c)
			if err != nil {
				return err
			}
			return s.token(&c, text, quiet, "rotated")
		}}
}

// token prints the token that was just made.
func (s *session) token(c *client, text []byte, quiet bool, did string) error {
	switch {
	case s.json:
		return s.raw(text)
	case quiet:
		fmt.Fprintln(s.Out, c.Token)
	default:
		fmt.Fprintf(s.Out, "%s %s\ntoken: %s\n", did, cell(c.ID), c.Token)
		s.say("nobody can read the token back: keep it now")
	}
	return nil
}

func clientsSwitch(word string, on bool) *command {
	return &command{name: "clients " + word, args: "ID...", about: word + " clients", least: 1, most: -1,
		run: func(ctx context.Context, s *session) error { return switched(ctx, s, "clients", word, on) }}
}

func clientsRemove() *command {
	return &command{name: "clients rm", args: "ID...", about: "delete clients that were added while the proxy ran", least: 1, most: -1,
		more: "Clients of file and environment can be disabled here, and deleted there.",
		run: func(ctx context.Context, s *session) error {
			return s.each(func(id string) error {
				_, err := s.api.call(ctx, "DELETE", item("clients", id), nil, nil, nil)
				if err == nil && !s.json {
					fmt.Fprintf(s.Out, "deleted %s\n", cell(id))
				}
				return err
			})
		}}
}
