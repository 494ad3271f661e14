package memstate

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"openai-api-proxy/pkg/state"
)

// limits are the limits of all subjects.
type limits struct {
	mu       sync.Mutex // guards all below, and every limit
	subjects map[string]*limit
	dirty    map[string]bool
	swept    []string // subjects still to be looked at by prune
}

// limit is what a subject has spent, and the reservations that are open. Those are in memory only: a restart frees the
// slots, and what was reserved stays charged.
type limit struct {
	arrival map[string]arrival // of rates
	quotas  map[string]*quota
	slots   map[string]time.Time // by reservation, until when it is held
	open    map[string]time.Time // by reservation, until when it can be settled
	told    map[string]time.Time // reservations that were settled without being known, until when that is remembered
}

// arrival is a theoretical arrival time. The tolerance is that under which it came about: when it was lowered since, the
// debt is bounded by the new one; when not, a debt beyond it is what a settlement has left.
type arrival struct {
	at        time.Time
	tolerance time.Duration // 0: not known
}

// quota is what was spent of a calendar quota. Mark is what the file says, which is ahead of use: units up to it may be
// given without writing, so that a crash counts too much and never too little.
type quota struct {
	start time.Time
	end   time.Time // zero: never
	used  int64
	mark  int64
}

// Spend takes every charge or none. It fails only when a quota cannot be written.
func (s *Store) Spend(_ context.Context, subject, reservation string, charges []state.Charge) (state.Verdict, error) {
	now := s.now()
	s.limits.mu.Lock()
	defer s.limits.mu.Unlock()
	held := s.limits.subjects[subject]
	if held == nil {
		held = &limit{}
	}
	v := state.Verdict{OK: true, Balances: make([]state.Balance, len(charges))}
	if !held.open[reservation].After(now) && !held.told[reservation].After(now) { // else it is no news
		held.judge(&v, charges, now)
		if v.OK && spends(charges) {
			if err := s.reserve(subject, held, charges, now); err != nil {
				return state.Verdict{}, err
			}
			for _, c := range charges {
				held.take(c, reservation, now)
			}
			if reservation != "" {
				put(&held.open, reservation, now.Add(state.OpenLife))
			}
			s.limits.subjects[subject] = held
			s.limits.touchLocked(subject)
		}
	}
	for i, c := range charges {
		v.Balances[i] = held.balance(c, now)
	}
	return v, nil
}

// judge finds the charge that cannot be taken for the longest, if there is one.
func (l *limit) judge(v *state.Verdict, charges []state.Charge, now time.Time) {
	for _, c := range charges {
		wait, ok := l.affords(c, now)
		if ok {
			continue
		}
		if v.OK || v.RetryAfter >= 0 && (wait < 0 || wait > v.RetryAfter) {
			v.OK, v.Refused, v.RetryAfter = false, c.Limit, wait
		}
	}
}

func (l *limits) touchLocked(subject string) {
	if l.dirty == nil {
		l.dirty = map[string]bool{}
	}
	l.dirty[subject] = true
}

// put sets an entry of a map that may not be there yet.
func put[V any](m *map[string]V, name string, v V) {
	if *m == nil {
		*m = map[string]V{}
	}
	(*m)[name] = v
}

func spends(charges []state.Charge) bool {
	for _, c := range charges {
		if c.Cost > 0 {
			return true
		}
	}
	return false
}

// at is the theoretical arrival time of a rate: now at the earliest, and after the burst was lowered no later than the
// new one allows.
func (l *limit) at(c state.Charge, now time.Time) time.Time {
	held := l.arrival[c.Limit]
	if held.at.Before(now) {
		return now
	}
	tolerance := c.Rate.Tolerance()
	if last := now.Add(tolerance); held.at.After(last) && held.tolerance != tolerance && (held.tolerance == 0 || held.tolerance > tolerance) {
		return last
	}
	return held.at
}

// current is the quota's period that holds now: the stored one, or a new one.
func (l *limit) current(c state.Charge, now time.Time) quota {
	start := c.Quota.Start(now)
	if q := l.quotas[c.Limit]; q != nil && !q.start.Before(start) {
		return *q // also when the clock went back: a period is not opened again
	}
	return quota{start: start, end: c.Quota.End(now)}
}

// live is how many slots are held.
func (l *limit) live(now time.Time) (n int64) {
	for reservation, until := range l.slots {
		if until.After(now) {
			n++
			continue
		}
		delete(l.slots, reservation)
	}
	return n
}

// affords reports whether a charge could be taken, and otherwise when: negative for never.
func (l *limit) affords(c state.Charge, now time.Time) (time.Duration, bool) {
	switch {
	case c.Cost <= 0:
		return 0, true
	case c.Slots > 0:
		return state.SlotWait, l.live(now)+c.Cost <= c.Slots
	case c.Rate.Count > 0:
		span, tolerance := c.Rate.Span(c.Cost), c.Rate.Tolerance()
		over := l.at(c, now).Add(span).Sub(now) - tolerance
		if over > 0 && span > tolerance {
			return -1, false
		}
		return over, over <= 0
	}
	q := l.current(c, now)
	if q.used+c.Cost <= c.Quota.Limit {
		return 0, true
	}
	if q.end.IsZero() || c.Cost > c.Quota.Limit {
		return -1, false
	}
	return q.end.Sub(now), false
}

// take takes a charge that was found affordable.
func (l *limit) take(c state.Charge, reservation string, now time.Time) {
	switch {
	case c.Cost <= 0:
	case c.Slots > 0:
		put(&l.slots, reservation, now.Add(state.SlotLife))
	case c.Rate.Count > 0:
		put(&l.arrival, c.Limit, arrival{l.at(c, now).Add(c.Rate.Span(c.Cost)), c.Rate.Tolerance()})
	default:
		q := l.current(c, now)
		q.used += c.Cost
		q.mark = max(q.mark, q.used)
		put(&l.quotas, c.Limit, &q)
	}
}

// balance is what is left of a limit, and when all of it is there again.
func (l *limit) balance(c state.Charge, now time.Time) state.Balance {
	b := state.Balance{Limit: c.Limit, Reset: -1}
	switch {
	case c.Slots > 0:
		b.Left = max(c.Slots-l.live(now), 0)
	case c.Rate.Count > 0:
		b.Reset = l.at(c, now).Sub(now)
		b.Left = c.Rate.Units(c.Rate.Tolerance() - b.Reset)
	default:
		q := l.current(c, now)
		b.Left, b.Start = max(c.Quota.Limit-q.used, 0), q.start
		if !q.end.IsZero() {
			b.Reset = q.end.Sub(now)
		}
	}
	return b
}

// reserve makes sure that the file is ahead of what the charges will use.
func (s *Store) reserve(subject string, held *limit, charges []state.Charge, now time.Time) error {
	if s.file == nil {
		return nil
	}
	ahead := &limit{quotas: maps.Clone(held.quotas)}
	write := false
	for _, c := range charges {
		if c.Slots > 0 || c.Rate.Count > 0 || c.Cost <= 0 {
			continue
		}
		q := held.current(c, now)
		if q.used+c.Cost > q.mark {
			q.mark = min(q.used+c.Cost+max(c.Quota.Limit/100, 1), max(c.Quota.Limit, q.used+c.Cost))
			put(&ahead.quotas, c.Limit, &q)
			write = true
		}
	}
	if !write {
		return nil
	}
	ahead.arrival = held.arrival
	if err := s.file.writeLimit(subject, ahead.record(false)); err != nil {
		return fmt.Errorf("%w: %w", state.ErrUnavailable, err)
	}
	held.quotas = ahead.quotas
	return nil
}

// sweepAtOnce bounds the subjects that one prune looks at, so that nobody waits for all of a million.
const sweepAtOnce = 2000

// prune drops subjects whose limits are all full again. Those that have a file keep their record there until then too.
func (l *limits) prune(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.swept) == 0 {
		for subject := range l.subjects {
			l.swept = append(l.swept, subject)
		}
	}
	n := min(sweepAtOnce, len(l.swept))
	for _, subject := range l.swept[:n] {
		if held := l.subjects[subject]; held != nil && held.idle(now) {
			delete(l.subjects, subject)
			l.touchLocked(subject) // its record goes at the next flush
		}
	}
	l.swept = l.swept[n:]
}

// idle reports whether nothing is remembered that still counts.
func (l *limit) idle(now time.Time) bool {
	for _, a := range l.arrival {
		if a.at.After(now) {
			return false
		}
	}
	for _, q := range l.quotas {
		if q.end.IsZero() || q.end.After(now) {
			return false
		}
	}
	l.sweep(now)
	return l.live(now) == 0 && len(l.open) == 0 && len(l.told) == 0
}

// sweep forgets reservations that nobody renewed.
func (l *limit) sweep(now time.Time) {
	for _, m := range []map[string]time.Time{l.open, l.told} {
		for reservation, until := range m {
			if !until.After(now) {
				delete(m, reservation)
			}
		}
	}
}
