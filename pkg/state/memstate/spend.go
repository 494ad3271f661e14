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

// limit is what a subject has spent.
type limit struct {
	arrival map[string]time.Time // theoretical arrival times of rates
	quotas  map[string]*quota
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
func (s *Store) Spend(_ context.Context, subject string, charges []state.Charge) (state.Verdict, error) {
	now := s.now()
	s.limits.mu.Lock()
	defer s.limits.mu.Unlock()
	held := s.limits.subjects[subject]
	if held == nil {
		held = &limit{}
	}
	v := state.Verdict{OK: true, Balances: make([]state.Balance, len(charges))}
	for i, c := range charges {
		if wait, ok := held.affords(c, now); !ok && v.OK {
			v.OK, v.Refused, v.RetryAfter = false, c.Limit, wait
		}
		v.Balances[i].Limit = c.Limit
	}
	if v.OK && spends(charges) {
		if err := s.reserve(subject, held, charges, now); err != nil {
			return state.Verdict{}, err
		}
		for _, c := range charges {
			held.take(c, now)
		}
		s.limits.subjects[subject] = held
		if s.limits.dirty == nil {
			s.limits.dirty = map[string]bool{}
		}
		s.limits.dirty[subject] = true
	}
	for i, c := range charges {
		v.Balances[i].Left, v.Balances[i].Reset = held.left(c, now)
	}
	return v, nil
}

func spends(charges []state.Charge) bool {
	for _, c := range charges {
		if c.Cost > 0 {
			return true
		}
	}
	return false
}

// interval is the time that one unit of a rate takes to come back.
func interval(r state.Rate) time.Duration { return r.Per / time.Duration(r.Count) }

// at is the theoretical arrival time of a rate: now at the earliest, and no later than its burst allows, which matters
// when the burst was lowered.
func (l *limit) at(c state.Charge, now time.Time) time.Time {
	at := l.arrival[c.Limit]
	if at.Before(now) {
		return now
	}
	if last := now.Add(interval(c.Rate) * time.Duration(c.Rate.Burst)); at.After(last) {
		return last
	}
	return at
}

// current is the quota's period that holds now: the stored one, or a new one.
func (l *limit) current(c state.Charge, now time.Time) quota {
	start := c.Quota.Period.Start(now)
	if q := l.quotas[c.Limit]; q != nil && !q.start.Before(start) {
		return *q // also when the clock went back: a period is not opened again
	}
	return quota{start: start, end: c.Quota.Period.End(now)}
}

// affords reports whether a charge could be taken, and otherwise when: negative for never.
func (l *limit) affords(c state.Charge, now time.Time) (time.Duration, bool) {
	if c.Cost <= 0 {
		return 0, true
	}
	if c.Rate.Count > 0 {
		step := interval(c.Rate)
		burst := step * time.Duration(c.Rate.Burst)
		over := l.at(c, now).Add(step*time.Duration(c.Cost)).Sub(now) - burst
		if over > 0 && c.Cost > c.Rate.Burst {
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
func (l *limit) take(c state.Charge, now time.Time) {
	if c.Cost <= 0 {
		return
	}
	if c.Rate.Count > 0 {
		if l.arrival == nil {
			l.arrival = map[string]time.Time{}
		}
		l.arrival[c.Limit] = l.at(c, now).Add(interval(c.Rate) * time.Duration(c.Cost))
		return
	}
	q := l.current(c, now)
	q.used += c.Cost
	q.mark = max(q.mark, q.used)
	l.put(c.Limit, q)
}

func (l *limit) put(name string, q quota) {
	if l.quotas == nil {
		l.quotas = map[string]*quota{}
	}
	l.quotas[name] = &q
}

// left is the balance of a limit, and when all of it is there again.
func (l *limit) left(c state.Charge, now time.Time) (int64, time.Duration) {
	if c.Rate.Count > 0 {
		step, debt := interval(c.Rate), l.at(c, now).Sub(now)
		return int64((step*time.Duration(c.Rate.Burst) - debt) / step), debt
	}
	q := l.current(c, now)
	if q.end.IsZero() {
		return max(c.Quota.Limit-q.used, 0), -1
	}
	return max(c.Quota.Limit-q.used, 0), q.end.Sub(now)
}

// reserve makes sure that the file is ahead of what the charges will use.
func (s *Store) reserve(subject string, held *limit, charges []state.Charge, now time.Time) error {
	if s.file == nil {
		return nil
	}
	ahead := &limit{quotas: maps.Clone(held.quotas)}
	write := false
	for _, c := range charges {
		if c.Rate.Count > 0 || c.Cost <= 0 {
			continue
		}
		q := held.current(c, now)
		if q.used+c.Cost > q.mark {
			q.mark = min(q.used+c.Cost+max(c.Quota.Limit/100, 1), max(c.Quota.Limit, q.used+c.Cost))
			ahead.put(c.Limit, q)
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
			if l.dirty == nil {
				l.dirty = map[string]bool{}
			}
			l.dirty[subject] = true // its record goes at the next flush
		}
	}
	l.swept = l.swept[n:]
}

// idle reports whether nothing is remembered that still counts.
func (l *limit) idle(now time.Time) bool {
	for _, at := range l.arrival {
		if at.After(now) {
			return false
		}
	}
	for _, q := range l.quotas {
		if q.end.IsZero() || q.end.After(now) {
			return false
		}
	}
	return true
}
