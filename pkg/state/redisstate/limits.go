package redisstate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"openai-api-proxy/pkg/state"
)

const (
	// quotaLife is how long a quota is kept that never ends.
	quotaLife = 10 * 366 * 24 * time.Hour
	// scriptBatch is how many reservations one call of a script settles or renews, so that nobody waits long for it.
	scriptBatch = 100
)

// Spend runs spend.lua, in one round trip. It is not repeated after an answer that was lost: with a reservation it would
// be safe, but the one who asks has no time left.
func (s *Store) Spend(ctx context.Context, subject, reservation string, charges []state.Charge) (state.Verdict, error) {
	ctx, cancel := within(ctx, s.budgets.hot)
	defer cancel()
	args, life := make([]any, 4, 4+6*len(charges)), limitsLife
	now := time.Now()
	for _, c := range charges {
		args = append(args, c.Limit, c.Cost)
		switch {
		case c.Slots > 0:
			args = append(args, "slots", c.Slots, 0, 0)
		case c.Rate.Count > 0:
			args = append(args, "rate", c.Rate.Span(c.Cost).Microseconds(), c.Rate.Tolerance().Microseconds(), 0)
		default:
			from, to := c.Quota.Start(now), c.Quota.End(now)
			args = append(args, "quota", c.Quota.Limit, unix(from), unix(to))
			life = max(life, lifeOf(to, now))
		}
	}
	args[0], args[1], args[2], args[3] = life.Milliseconds(), reservation, state.OpenLife.Milliseconds(), state.SlotLife.Milliseconds()
	reply, err := s.spend.Run(ctx, s.hot, s.limitKeys(subject), args...).Int64Slice()
	switch {
	case err == nil:
		return verdict(reply, charges), nil
	case mayHaveRun(err):
		return state.Verdict{}, unavailable(err)
	default:
		return state.Verdict{}, fmt.Errorf("%w: %w", state.ErrUnsent, err)
	}
}

func (s *Store) limitKeys(subject string) []string {
	return []string{s.keys.limits(subject), s.keys.open(subject), s.keys.slots(subject)}
}

// lifeOf is how long a quota must be remembered: to the end of its period and a day more; one that never ends, ten years.
func lifeOf(to, now time.Time) time.Duration {
	if to.IsZero() {
		return quotaLife
	}
	return to.Sub(now) + 24*time.Hour
}

func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

func verdict(reply []int64, charges []state.Charge) state.Verdict {
	v := state.Verdict{OK: reply[0] == 0, RetryAfter: span(reply[1]), Balances: make([]state.Balance, len(charges))}
	if !v.OK {
		v.Refused = charges[reply[0]-1].Limit
	}
	for i, c := range charges {
		v.Balances[i] = balance(c, reply[2+3*i], reply[3+3*i], reply[4+3*i])
	}
	return v
}

// balance reads the three values of a charge.
func balance(c state.Charge, taken, reset, start int64) state.Balance {
	b := state.Balance{Limit: c.Limit, Reset: -1}
	switch {
	case c.Slots > 0:
		b.Left = max(c.Slots-taken, 0)
	case c.Rate.Count > 0:
		b.Reset = time.Duration(taken) * time.Microsecond
		b.Left = c.Rate.Units(c.Rate.Tolerance() - b.Reset)
	default:
		b.Left, b.Reset = max(c.Quota.Limit-taken, 0), span(reset)
		if start != 0 {
			b.Start = time.Unix(start, 0)
		}
	}
	return b
}

// span is a number of milliseconds; negative means never.
func span(ms int64) time.Duration {
	if ms < 0 {
		return -1
	}
	return time.Duration(ms) * time.Millisecond
}

// call is one run of a script for one subject.
type call struct {
	keys []string
	args []any
}

// Settle runs settle.lua, once for each subject, all in one round trip. It is safe to repeat all of a list of which some
// may have been settled.
func (s *Store) Settle(ctx context.Context, settlements []state.Settlement) error {
	var calls []call
	bySubject, most := map[string]int{}, map[string]int{}
	for _, settled := range settlements {
		i, begun := bySubject[settled.Subject]
		if !begun || most[settled.Subject] == scriptBatch {
			i, most[settled.Subject] = len(calls), 0
			bySubject[settled.Subject] = i
			calls = append(calls, call{s.limitKeys(settled.Subject),
				[]any{state.OpenLife.Milliseconds(), quotaLife.Milliseconds()}})
		}
		most[settled.Subject]++
		calls[i].args = appendSettlement(calls[i].args, settled)
	}
	return s.runAll(ctx, s.settle, calls)
}

func appendSettlement(args []any, settled state.Settlement) []any {
	how := 0
	switch {
	case settled.Unheard:
		how = 1
	case settled.Apart:
		how = 2
	}
	args = append(args, settled.Reservation, how, 0)
	n := len(args) - 1
	count := 0
	for _, a := range settled.Amounts {
		switch {
		case a.Slots > 0:
			continue
		case a.Rate.Count > 0:
			args = append(args, a.Limit, "rate", a.Cost, a.Spent, a.Rate.Span(a.Spent-a.Cost).Microseconds(), a.Rate.Tolerance().Microseconds())
		default:
			args = append(args, a.Limit, "quota", a.Cost, a.Spent, unix(a.Start), unix(a.Quota.End(a.Start)))
		}
		count++
	}
	args[n] = count
	return args
}

// Renew runs renew.lua, once for each subject, all in one round trip.
func (s *Store) Renew(ctx context.Context, all []state.Held) error {
	var calls []call
	bySubject := map[string]int{}
	for _, h := range all {
		i, begun := bySubject[h.Subject]
		if !begun || len(calls[i].args) >= 2+2*scriptBatch {
			i = len(calls)
			bySubject[h.Subject] = i
			calls = append(calls, call{[]string{s.keys.open(h.Subject), s.keys.slots(h.Subject)},
				[]any{state.OpenLife.Milliseconds(), state.SlotLife.Milliseconds()}})
		}
		calls[i].args = append(calls[i].args, h.Reservation, h.Slots)
	}
	return s.runAll(ctx, s.renew, calls)
}

// runAll sends all calls together. A pipeline cannot fall back to the source of a script that Redis has forgotten, so what
// failed for that reason is run by itself, which loads it.
func (s *Store) runAll(ctx context.Context, script *redis.Script, calls []call) error {
	if len(calls) == 0 {
		return nil
	}
	ctx, cancel := within(ctx, s.budgets.slow)
	defer cancel()
	sent := make([]*redis.Cmd, len(calls))
	_, _ = s.slow.Pipelined(ctx, func(p redis.Pipeliner) error { // the commands have their errors
		for i, c := range calls {
			sent[i] = script.EvalSha(ctx, p, c.keys, c.args...)
		}
		return nil
	})
	var errs []error
	for i, c := range calls {
		err := sent[i].Err()
		if redis.HasErrorPrefix(err, "NOSCRIPT") {
			err = script.Run(ctx, s.slow, c.keys, c.args...).Err()
		}
		if err != nil {
			errs = append(errs, err)
		}
	}
	return unavailable(errors.Join(errs...))
}
