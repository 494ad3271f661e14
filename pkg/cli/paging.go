package cli

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/url"
	"strconv"
)

// paging is how much of a list is wanted.
type paging struct {
	sort  string
	limit int
	all   bool
}

func (p *paging) flags(f *flag.FlagSet, orders string) {
	if orders != "" {
		f.StringVar(&p.sort, "sort", "", "`by` "+orders+"; with a dash before it the other way round")
	}
	f.IntVar(&p.limit, "limit", 50, "at most `n` of them")
	f.BoolVar(&p.all, "all", false, "all of them")
}

// mostOnPage is how many the API answers at once.
const mostOnPage = 1000

// listed prints a list, page after page, as a table or as the API's answers.
func listed[T any](ctx context.Context, s *session, path string, q url.Values, p *paging, t *table, row func(T)) error {
	if p.limit < 1 {
		return misused("--limit must be at least 1")
	}
	if p.sort != "" {
		q.Set("sort", p.sort)
	}
	total, seen, more := 0, 0, false
	for left := p.limit; ; {
		n := min(left, mostOnPage)
		if p.all {
			n = mostOnPage
		}
		q.Set("limit", strconv.Itoa(n))
		var one page[json.RawMessage]
		text, err := s.api.get(ctx, path, q, &one)
		if err != nil {
			return err
		}
		total, seen, left = one.Total, seen+len(one.Data), left-len(one.Data)
		if err := s.rows(text, one.Data, func(raw json.RawMessage) error { return read(raw, row) }); err != nil {
			return err
		}
		more = one.Next != nil
		if !more || left <= 0 && !p.all {
			break
		}
		q.Set("after", *one.Next)
	}
	if s.json {
		return nil
	}
	s.print(t)
	if more && total > 0 {
		s.say("%d of %d; --all shows all", seen, total)
	} else if more {
		s.say("there are more; --all shows all")
	}
	return nil
}

func (s *session) rows(text []byte, items []json.RawMessage, row func(json.RawMessage) error) error {
	if s.json {
		return s.raw(text)
	}
	for _, raw := range items {
		if err := row(raw); err != nil {
			return err
		}
	}
	return nil
}

func read[T any](raw json.RawMessage, row func(T)) error {
	var v T
	if err := json.Unmarshal(raw, &v); err != nil {
		return fmt.Errorf("the answer is not as the management API gives it: %w", err)
	}
	row(v)
	return nil
}
