package redisstate

import (
	"context"
	"errors"
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

// balance is what a charge finds left.
func balance(c state.Charge, is standing) state.Balance {
	b := state.Balance{Limit: c.Limit, Reset: -1}
	switch {
	case c.Slots > 0:
		b.Left = max(c.Slots-is.taken, 0)
	case c.Rate.Count > 0:
		b.Reset = time.Duration(is.taken) * time.Microsecond
		b.Left = c.Rate.Units(c.Rate.Tolerance() - b.Reset)
	default:
		b.Left, b.Reset = max(c.Quota.Limit-is.taken, 0), span(is.reset)
		if is.start != 0 {
			b.Start = time.Unix(is.start, 0)
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

// runAll sends all calls together.
func (s *Store) runAll(ctx context.Context, script *redis.Script, calls []call) error {
	if len(calls) == 0 {
		return nil
	}
	ctx, cancel := within(ctx, s.budgets.slow)
	defer cancel()
	var errs []error
	for _, reply := range s.runCalls(ctx, s.slow, script, calls) {
		if err := reply.Err(); err != nil {
			errs = append(errs, err)
		}
	}
	return unavailable(errors.Join(errs...))
}

// runCalls sends all calls together. A pipeline cannot fall back to the source of a script that Redis has forgotten, so what
// failed for that reason is run by itself, which loads it.
func (s *Store) runCalls(ctx context.Context, client redis.UniversalClient, script *redis.Script, calls []call) []*redis.Cmd {
	if len(calls) == 1 {
		return []*redis.Cmd{script.Run(ctx, client, calls[0].keys, calls[0].args...)}
	}
	sent := make([]*redis.Cmd, len(calls))
	_, _ = client.Pipelined(ctx, func(p redis.Pipeliner) error { // the commands have their errors
		for i, c := range calls {
			sent[i] = script.EvalSha(ctx, p, c.keys, c.args...)
		}
		return nil
	})
	for i, c := range calls {
		if redis.HasErrorPrefix(sent[i].Err(), "NOSCRIPT") {
			sent[i] = script.Run(ctx, client, c.keys, c.args...)
		}
	}
	return sent
}
