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
	told    flat             // of the reservations
}

// How a reservation is settled, as settle.lua knows it.
const (
	asHeard = iota
	asUnheard
	asApart
)

func (s *settling) add(one *state.Settlement) {
	s.n++
	how := asHeard
	switch {
	case one.Unheard:
		how = asUnheard
	case one.Apart:
		how = asApart
	}
	s.told.text(one.Reservation)
	s.told.number(int64(how))
	amounts := s.told.later()
	for i := range one.Amounts {
		a := &one.Amounts[i]
		change, counts := changeOf(a, one.Unheard)
		if !counts {
			continue
		}
		s.told.bytes[amounts]++ // far below flatSmall: each of a subject's limits has a unit and a period of its own
		s.told.number(s.limit(a))
		s.told.number(change)
		if one.Unheard {
			s.told.number(a.Spent)
		}
	}
}

// changeOf is by how much what was charged is to be changed. Not counted is a slot, which is freed, and what was spent as it was
// charged.
func changeOf(a *state.Spending, unheard bool) (change int64, counts bool) {
	change = a.Spent - a.Cost
	rate := a.Rate.Count > 0
	if a.Slots > 0 || change == 0 && (rate || !unheard) {
		return 0, false
	}
	if rate {
		change = a.Rate.Span(change).Microseconds()
	}
	return change, true
}

// limit is the number of a limit in this run.
func (s *settling) limit(a *state.Spending) int64 {
	for i := range s.limits {
		if l := &s.limits[i]; sameLimit(&l.Charge, &a.Charge) && l.Start.Equal(a.Start) {
			return int64(i + 1)
		}
	}
	limit := *a
	limit.Cost, limit.Spent = 0, 0
	s.limits = append(s.limits, limit)
	return int64(len(s.limits))
}

func (s *settling) args() []any {
	args := make([]any, 0, 3+4*len(s.limits)+1)
	args = append(args, state.OpenLife.Milliseconds(), quotaLife.Milliseconds(), len(s.limits))
	for i := range s.limits {
		l := &s.limits[i]
		if l.Rate.Count > 0 {
			args = append(args, l.Limit, "rate", l.Rate.Tolerance().Microseconds(), 0)
		} else {
			args = append(args, l.Limit, "quota", unix(l.Start), unix(l.Quota.End(l.Start)))
		}
	}
	return append(args, s.told.pack())
}
