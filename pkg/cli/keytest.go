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

// testWithin bounds a test of many keys; the API takes five minutes at most.
const testWithin = 6 * time.Minute

func keysTest() *command {
	var filter keyQuery
	var all bool
	return &command{name: "keys test", args: "[ID...]", about: "ask the upstream whether it accepts keys", most: -1,
		more: "What it says is taken over: a key that was thought invalid and is accepted is used again at once.",
		flags: func(f *flag.FlagSet) {
			filter.flags(f)
			f.BoolVar(&all, "all", false, "test all keys")
		},
		run: func(ctx context.Context, s *session) error {
			q := filter.values()
			ids := s.args
			switch {
			case len(ids) > 0 && (all || len(q) > 0):
				return misused("name the keys, or say which by flags, not both")
			case len(ids) == 0 && !all && len(q) == 0:
				return misused("which keys? name them, or say --all")
			case len(ids) == 0:
				var err error
				if ids, err = s.keyIDs(ctx, q); err != nil {
					return err
				}
			}
			return s.tested(ctx, ids)
		}}
}

// keyIDs are those of all keys that the filters let through.
func (s *session) keyIDs(ctx context.Context, q url.Values) (ids []string, err error) {
	q.Set("limit", strconv.Itoa(mostOnPage))
	for {
		var one page[key]
		if _, err := s.api.get(ctx, "/api/keys", q, &one); err != nil {
			return nil, err
		}
		for _, k := range one.Data {
			ids = append(ids, k.ID)
		}
		if one.Next == nil {
			break
		}
		q.Set("after", *one.Next)
	}
	if len(ids) == 0 {
		return nil, errors.New("there are no such keys")
	}
	return ids, nil
}

// tested tests keys, a page of them at a time.
func (s *session) tested(ctx context.Context, ids []string) error {
	t := &table{head: []string{"ID", "ACCEPTED", "OUTCOME", "STATUS", "CODE", "STATE", "MS", "WHY"}}
	failed := 0
	for some := range slices.Chunk(ids, mostOnPage) {
		var a testAnswer
		text, err := s.testPage(ctx, some, &a)
		if err != nil {
			return err
		}
		if s.json {
			if err := s.raw(text); err != nil {
				return err
			}
		}
		failed += a.Failed
		for _, r := range a.Results {
			t.add(r.ID, r.OK, r.Outcome, int64(r.Status), r.Code, r.State, millis(r.TookMs), r.Error)
		}
	}
	if !s.json {
		s.print(t)
		s.say("%d accepted, %d not", len(ids)-failed, failed)
	}
	if failed > 0 {
		return errTold
	}
	return nil
}

func (s *session) testPage(ctx context.Context, ids []string, a *testAnswer) (json.RawMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, testWithin)
	defer cancel()
	return s.api.patiently(ctx, "POST", "/api/keys/test", nil, asJSON(map[string]any{"ids": ids}), a)
}
