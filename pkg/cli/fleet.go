package cli

import (
	"context"
	"flag"
)

func replicas() *command {
	return &command{name: "replicas", about: "the replicas that share the state, with what they run",
		run: func(ctx context.Context, s *session) error {
			var a replicasAnswer
			if done, err := s.answered(s.api.get(ctx, "/api/replicas", nil, &a)); done {
				return err
			}
			t := &table{head: []string{"ID", "HOST", "ADDRESS", "VERSION", "STARTED", "READY", "SERVING", "CONFIG", "CHANGES", "MISTAKES"}}
			for _, r := range a.Data {
				t.add(r.ID, r.Host, r.Address, r.Version, r.Started, r.Ready, r.Serving, r.Config.Fingerprint, r.Config.Version, r.Config.Error)
			}
			s.print(t)
			s.say("%s answered", cell(a.Self))
			return nil
		}}
}

func refresh() *command {
	return &command{name: "refresh", about: "read file and environment anew, on every replica",
		run: func(ctx context.Context, s *session) error {
			var a refreshAnswer
			text, err := s.api.call(ctx, "POST", "/api/config/refresh", nil, nil, &a)
			if err != nil {
				return err
			}
			t := &table{head: []string{"REPLICA", "IN FORCE", "CONFIG", "WHY"}}
			failed := false
			for _, r := range a.Replicas {
				failed = failed || !r.OK
				t.add(r.ID, r.OK, r.Fingerprint, r.Error)
			}
			if s.json {
				err = s.raw(text)
			} else {
				s.print(t)
			}
			if failed {
				return errTold
			}
			return err
		}}
}

func audit() *command {
	var paged paging
	return &command{name: "audit", about: "what operators did, newest first", flags: func(f *flag.FlagSet) { paged.flags(f, "") },
		run: func(ctx context.Context, s *session) error {
			t := &table{head: []string{"AT", "WHO", "FROM", "ACTION", "SUBJECT", "DETAIL", "REPLICA"}}
			return listed(ctx, s, "/api/audit", query(), &paged, t, func(n note) {
				t.add(n.At, n.Actor, n.Address, n.Action, n.Subject, n.Detail, n.Replica)
			})
		}}
}
