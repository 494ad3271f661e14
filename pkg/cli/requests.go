package cli

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"net/url"
	"slices"
	"strconv"
	"time"
)

// followEvery is the time between two looks for new requests.
const followEvery = time.Second

func requests() *command {
	q := url.Values{}
	var follow, all bool
	var most int
	return &command{name: "requests", about: "the latest requests, newest last",
		more: "Prompts and answers are not among what is remembered. With --follow it goes on until it is interrupted, also while the\n" +
			"proxy restarts.",
		flags: func(f *flag.FlagSet) {
			for _, one := range [][2]string{{"client", "`id` of the client"}, {"key", "`id` of a key that was tried"}, {"model", "`name` of the model"},
				{"operation", "`path` of the operation, such as /v1/embeddings"}, {"status", "`status`: 429, 2xx, 4xx, 5xx or error"},
				{"outcome", "`succeeded`, failed or left"}, {"replica", "`id` of the replica"}} {
				f.Func(one[0], one[1], func(given string) error { q.Set(one[0], given); return nil })
			}
			f.Func("slower", "those that took at least so many `ms`", func(given string) error { q.Set("minMs", given); return nil })
			f.Func("from", "the first `moment`", func(given string) error { q.Set("from", moment(given)); return nil })
			f.Func("to", "the `moment` behind the last", func(given string) error { q.Set("to", moment(given)); return nil })
			f.IntVar(&most, "limit", 50, "at most `n` of those that there are already")
			f.BoolVar(&all, "all", false, "all that are remembered")
			f.BoolVar(&follow, "follow", false, "go on with those to come")
		},
		run: func(ctx context.Context, s *session) error {
			if all {
				most = 1 << 30
			}
			if most < 0 {
				return misused("--limit must not be negative")
			}
			one := &follower{s: s, q: q, table: &table{head: []string{"AT", "STATUS", "CLIENT", "MODEL", "KEY", "TRIES", "INPUT", "OUTPUT", "COST USD",
				"MS", "OPERATION", "WHY", "REPLICA", "ID"}}}
			if err := one.latest(ctx, most); err != nil {
				return err
			}
			if !follow {
				return nil
			}
			return one.run(ctx)
		}}
}

// follower prints requests, each once, oldest first.
type follower struct {
	s      *session
	q      url.Values // the filters
	newest string     // where the newest of all that were looked at stood
	table  *table
}

// latest prints the latest of those that there are already.
func (f *follower) latest(ctx context.Context, most int) error {
	found, err := f.pages(ctx, "", most)
	if err != nil {
		return err
	}
	return f.show(found)
}

// run prints those to come, until the context ends. A proxy that does not answer is asked again.
func (f *follower) run(ctx context.Context) error {
	away := false
	for {
		select {
		case <-ctx.Done():
			return nil // that is how it ends
		case <-time.After(followEvery):
		}
		found, err := f.pages(ctx, f.newest, 1<<30)
		if err != nil && ctx.Err() == nil {
			if !comesBack(err) {
				return err
			}
			if !away {
				f.s.say("%s; it will be asked again", oneLine(err.Error()))
			}
			away = true
			continue
		}
		if away && err == nil {
			f.s.say("it answers again")
			away = false
		}
		if err := f.show(found); err != nil {
			return err
		}
	}
}

// comesBack reports whether a failure may pass by itself: no answer, or one of a proxy that starts or stops.
func comesBack(err error) bool {
	var e *apiError
	return !errors.As(err, &e) || e.Status >= 500 || e.Status == 429
}

// pages reads what came after a place, newest first, at most so many. What could not be read whole is read again.
func (f *follower) pages(ctx context.Context, newer string, most int) (found []json.RawMessage, err error) {
	q, newest := url.Values{}, f.newest
	for name := range f.q {
		q.Set(name, f.q.Get(name))
	}
	if newer != "" {
		q.Set("newer", newer)
	}
	for first := true; first || len(found) < most; first = false {
		q.Set("limit", strconv.Itoa(max(min(most-len(found), mostOnPage), 1)))
		var one page[json.RawMessage]
		if _, err := f.s.api.get(ctx, "/api/requests", q, &one); err != nil {
			return nil, err
		}
		if first && one.Newest != nil {
			newest = *one.Newest
		}
		found = append(found, one.Data...)
		if one.Next == nil {
			break
		}
		q.Set("after", *one.Next)
	}
	f.newest = newest
	return found[:min(len(found), most)], nil
}

// show prints what was found, which is newest first, the other way round.
func (f *follower) show(found []json.RawMessage) error {
	for _, raw := range slices.Backward(found) {
		if f.s.json {
			if err := f.s.raw(raw); err != nil {
				return err
			}
			continue
		}
		err := read(raw, func(r request) {
			f.table.add(r.At, int64(r.Status), r.Client, r.Model, r.Key, int64(len(r.Attempts)), r.Tokens.Input, r.Tokens.Output,
				r.CostUSD, millis(r.TotalMs), r.Operation, r.Fault, r.Replica, r.ID)
		})
		if err != nil {
			return err
		}
	}
	if !f.s.json {
		f.s.print(f.table)
	}
	return nil
}
