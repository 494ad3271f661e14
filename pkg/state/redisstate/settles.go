package redisstate

import (
	"context"

	"openai-api-proxy/pkg/state"
)

// Settle runs settle.lua, once for each subject, all in one round trip. It is safe to repeat all of a list of which some
// may have been settled.
func (s *Store) Settle(ctx context.Context, settlements []state.Settlement) error {
	var all []*settling
	latest := map[string]*settling{}
	for i := range settlements {
		subject := settlements[i].Subject
		if latest[subject] == nil || latest[subject].n == scriptBatch {
			latest[subject] = &settling{subject: subject}
			all = append(all, latest[subject])
		}
		latest[subject].add(&settlements[i])
	}
	calls := make([]call, len(all))
	for i, one := range all {
		calls[i] = call{s.limitKeys(one.subject), one.args()}
	}
	return s.runAll(ctx, s.settle, calls)
}

// settling is one run of settle.lua. Each limit is told once, however many reservations were charged to it.
type settling struct {
	subject string
	n       int              // reservations
	limits  []state.Spending // without amounts
	told    []any            // of the reservations
}

func (s *settling) add(one *state.Settlement) {
	s.n++
	how := 0
	switch {
	case one.Unheard:
		how = 1
	case one.Apart:
		how = 2
	}
	s.told = append(s.told, one.Reservation, how, 0)
	n, count := len(s.told)-1, 0
	for _, a := range one.Amounts {
		change := a.Spent - a.Cost
		switch rate := a.Rate.Count > 0; {
		case a.Slots > 0, change == 0 && (rate || !one.Unheard):
			continue // a slot is freed, and what was charged was spent
		case rate:
			change = a.Rate.Span(change).Microseconds()
		}
		s.told = append(s.told, s.limit(a), change)
		if one.Unheard {
			s.told = append(s.told, a.Spent)
		}
		count++
	}
	s.told[n] = count
}

// limit is the number of a limit in this run.
func (s *settling) limit(a state.Spending) int {
	a.Cost, a.Spent = 0, 0
	for i := range s.limits {
		if l := &s.limits[i]; l.Charge == a.Charge && l.Start.Equal(a.Start) {
			return i + 1
		}
	}
	s.limits = append(s.limits, a)
	return len(s.limits)
}

func (s *settling) args() []any {
	args := make([]any, 0, 3+4*len(s.limits)+len(s.told))
	args = append(args, state.OpenLife.Milliseconds(), quotaLife.Milliseconds(), len(s.limits))
	for _, l := range s.limits {
		if l.Rate.Count > 0 {
			args = append(args, l.Limit, "rate", l.Rate.Tolerance().Microseconds(), 0)
		} else {
			args = append(args, l.Limit, "quota", unix(l.Start), unix(l.Quota.End(l.Start)))
		}
	}
	return append(args, s.told...)
}
