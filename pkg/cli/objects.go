package cli

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"strings"
)

// mostAtOnce is how many objects one request of the API may name.
const mostAtOnce = 1000

// owner is whose objects are meant.
type owner struct{ client, group string }

func (o *owner) flags(f *flag.FlagSet) {
	f.StringVar(&o.client, "client", "", "`id` of the client whose they are")
	f.StringVar(&o.group, "group", "", "`name` of the group whose they are, instead of --client")
}

// named is nil if one of both is given.
func (o *owner) named() error {
	if (o.client == "") == (o.group == "") {
		return misused("say whose: either --client or --group")
	}
	return nil
}

func (o *owner) String() string {
	if o.client != "" {
		return "client " + cell(o.client)
	}
	return "group " + cell(o.group)
}

// whose fills in the owner in a body.
func (o *owner) whose(body map[string]any) map[string]any {
	if o.client != "" {
		body["client"] = o.client
	} else {
		body["group"] = o.group
	}
	return body
}

func objectsList() *command {
	var of owner
	var family string
	var paged paging
	return &command{name: "objects list", about: "list what a client or a group has stored upstream, newest first",
		more: "Nobody asks the upstream: these are those that the proxy remembers.",
		flags: func(f *flag.FlagSet) {
			of.flags(f)
			f.StringVar(&family, "family", "", "the `kind`: file, batch, response, vector_store and so on")
			paged.flags(f, "")
		},
		run: func(ctx context.Context, s *session) error {
			if err := of.named(); err != nil {
				return err
			}
			if family == "" {
				return misused("say which: --family file, batch, response, vector_store and so on")
			}
			t := &table{head: []string{"FAMILY", "ID", "ACCOUNT", "CREATED"}}
			return listed(ctx, s, "/api/objects", query("client", of.client, "group", of.group, "family", family), &paged, t, func(o object) {
				t.add(o.Family, o.ID, o.Account, o.Created)
			})
		}}
}

func objectsAdopt() *command {
	var of owner
	var account, family, created string
	return &command{name: "objects adopt", args: "ID..., or -", about: "give objects that are stored upstream to a client or a group", least: 1, most: -1,
		more: "The upstream is not asked: you know in which account they lie. With - the ids come from standard input, one a line. Who else has\n" +
			"an object keeps it until it is disowned.",
		flags: func(f *flag.FlagSet) {
			of.flags(f)
			f.StringVar(&account, "account", "", "`name` of the account in which they lie")
			f.StringVar(&family, "family", "", "their `kind`, where an id does not show it")
			f.StringVar(&created, "created", "", "the `moment` at which they were made, by which lists are sorted; now otherwise")
		},
		run: func(ctx context.Context, s *session) error {
			if err := of.named(); err != nil {
				return err
			}
			if account == "" {
				return misused("say where they lie: --account")
			}
			body := map[string]any{"account": account}
			if family != "" {
				body["family"] = family
			}
			if created != "" {
				body["created"] = moment(created)
			}
			return s.eachThousand(ctx, "/api/objects", of.whose(body), func(n int) string { return fmt.Sprintf("adopted %d for %s", n, &of) })
		}}
}

func objectsDisown() *command {
	var of owner
	var family string
	return &command{name: "objects disown", args: "ID..., or -", about: "take objects from a client or a group", least: 1, most: -1,
		more: "They stay where they are, and nobody's. With - the ids come from standard input, one a line.",
		flags: func(f *flag.FlagSet) {
			of.flags(f)
			f.StringVar(&family, "family", "", "their `kind`, where an id does not show it")
		},
		run: func(ctx context.Context, s *session) error {
			if err := of.named(); err != nil {
				return err
			}
			body := map[string]any{}
			if family != "" {
				body["family"] = family
			}
			return s.eachThousand(ctx, "/api/objects/disown", of.whose(body), func(n int) string { return fmt.Sprintf("disowned %d of %s", n, &of) })
		}}
}

// eachThousand sends the body with the ids of the command line, as many at once as the API takes, and says what is done.
func (s *session) eachThousand(ctx context.Context, path string, body map[string]any, done func(n int) string) error {
	ids, err := s.ids(ctx)
	if err != nil {
		return err
	}
	did := 0
	for some := range slices.Chunk(ids, mostAtOnce) {
		body["ids"] = some
		text, err := s.api.call(ctx, "POST", path, nil, asJSON(body), nil)
		if err != nil {
			if did > 0 {
				s.say("%s; then:", done(did))
			}
			return err
		}
		if s.json {
			if err := s.raw(text); err != nil {
				return err
			}
		}
		did += len(some)
	}
	if !s.json {
		fmt.Fprintln(s.Out, done(did))
	}
	return nil
}

// ids are those of the command line, or, for a dash, those that are read, one a line; what begins with # is none.
func (s *session) ids(ctx context.Context) ([]string, error) {
	if !slices.Contains(s.args, "-") {
		return s.args, nil
	}
	if len(s.args) > 1 {
		return nil, misused("ids or -, not both")
	}
	text, err := s.read(ctx, "-", "")
	if err != nil {
		return nil, err
	}
	var ids []string
	for line := range strings.Lines(string(text)) {
		if id := strings.TrimSpace(line); id != "" && !strings.HasPrefix(id, "#") {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return nil, misused("no id was given")
	}
	return ids, nil
}
