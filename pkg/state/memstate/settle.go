package memstate

import (
	"context"
	"fmt"
	"maps"
	"time"

	"openai-api-proxy/pkg/state"
)

// Settle settles each reservation that is open, once. It fails only when a quota cannot be written, and the rest of the
// list can then be told again.
func (s *Store) Settle(_ context.Context, settlements []state.Settlement) error {
	now := s.now()
	s.limits.mu.Lock()
	defer s.limits.mu.Unlock()
	for _, settled := range settlements {
		if err := s.settleLocked(settled, now); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) settleLocked(settled state.Settlement, now time.Time) error {
	held := s.limits.subjects[settled.Subject]
	if held == nil {
		held = &limit{}
	}
	open := held.open[settled.Reservation].After(now)
	if told := held.told[settled.Reservation].After(now); told || !open && !settled.Unheard && !settled.Apart {
		return nil
	}
	quotas, marks := held.settle(settled.Amounts, open || settled.Apart, now)
	if marks && s.file != nil {
		ahead := &limit{arrival: held.arrival, quotas: quotas}
		if err := s.file.writeLimit(settled.Subject, ahead.record(false)); err != nil {
			return fmt.Errorf("%w: %w", state.ErrUnavailable, err)
		}
	}
	held.quotas = quotas
	if open || settled.Apart {
		for _, a := range settled.Amounts {
			held.correct(a, now)
		}
	}
	delete(held.open, settled.Reservation)
	delete(held.slots, settled.Reservation)
	if settled.Unheard || settled.Apart {
		held.sweep(now)
		put(&held.told, settled.Reservation, now.Add(state.OpenLife))
	}
	s.limits.subjects[settled.Subject] = held
	s.limits.touchLocked(settled.Subject)
	return nil
}

// settle is what the quotas are after a settlement, and whether one of them is now beyond its mark. What belongs to a
// period that has ended changes nothing; what belongs to one that nobody has opened yet opens it.
func (l *limit) settle(amounts []state.Spending, charged bool, now time.Time) (quotas map[string]*quota, marks bool) {
	quotas = maps.Clone(l.quotas)
	for _, a := range amounts {
		if a.Slots > 0 || a.Rate.Count > 0 {
			continue
		}
		delta := a.Spent
		if charged {
			delta -= a.Cost
		}
		q := quota{start: a.Start, end: a.Quota.End(a.Start)}
		if held := l.quotas[a.Limit]; held != nil {
			if held.start.After(a.Start) {
				continue
			}
			if held.start.Equal(a.Start) {
				q = *held
			}
		}
		if !q.end.IsZero() && !q.end.After(now) {
			continue
		}
		q.used = max(q.used+delta, 0)
		if q.used > q.mark {
			q.mark, marks = q.used, true
		}
		put(&quotas, a.Limit, &q)
	}
	return quotas, marks
}

// correct moves the arrival time of a rate by what was spent beyond the estimate, or less than it.
func (l *limit) correct(a state.Spending, now time.Time) {
	if _, known := l.arrival[a.Limit]; a.Rate.Count == 0 || a.Slots > 0 || a.Spent == a.Cost || !known && a.Spent < a.Cost {
		return
	}
	at := l.at(a.Charge, now).Add(a.Rate.Span(a.Spent - a.Cost))
	if at.Before(now) {
		at = now
	}
	put(&l.arrival, a.Limit, arrival{at, a.Rate.Tolerance()})
}

// Renew never fails.
func (s *Store) Renew(_ context.Context, all []state.Held) error {
	now := s.now()
	s.limits.mu.Lock()
	defer s.limits.mu.Unlock()
	for _, h := range all {
		held := s.limits.subjects[h.Subject]
		if held == nil {
			continue
		}
		if !held.open[h.Reservation].After(now) {
			continue
		}
		held.open[h.Reservation] = now.Add(state.OpenLife)
		if h.Slots {
			put(&held.slots, h.Reservation, now.Add(state.SlotLife))
		}
	}
	return nil
}
