package redisstate

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"openai-api-proxy/pkg/state"
)

// Spend runs spend.lua, in one round trip that it shares with what others spend at the same moment. It is not repeated after an
// answer that was lost: with a reservation it would be safe, but the one who asks has no time left.
func (s *Store) Spend(ctx context.Context, subject, reservation string, charges []state.Charge) (state.Verdict, error) {
	a, used := s.asks.Get().(*ask)
	if !used {
		a = new(ask)
	}
	a.subject, a.reservation, a.charges, a.until, a.err = subject, reservation, charges, time.Now().Add(s.budgets.hot), errUnanswered
	v, err := s.lineOf(ctx, subject, a.until).spend(ctx, a)
	if err == nil { // otherwise a trip may have it still
		a.charges, a.verdict = nil, state.Verdict{}
		s.asks.Put(a)
	}
	return v, err
}

// errUnanswered is the error of an ask until it has its answer.
var errUnanswered = fmt.Errorf("%w: no answer", state.ErrUnavailable)

// nearby is the name of the line of all that is not in a Cluster.
const nearby = ""

// lineOf is the line that a subject waits in. Each node of a Cluster has its own, so that one that is away holds up nobody
// whose limits are elsewhere. To find out which that is may take a while, as long as a Cluster has not said it.
func (s *Store) lineOf(ctx context.Context, subject string, until time.Time) *line {
	node := nearby
	if cluster, ok := s.hot.(*redis.ClusterClient); ok {
		ctx, cancel := context.WithDeadline(ctx, until)
		defer cancel()
		if primary, err := cluster.MasterForKey(ctx, s.keys.limits(subject)); err == nil {
			node = primary.Options().Addr
		}
	}
	s.linesMu.RLock()
	l := s.lines[node]
	s.linesMu.RUnlock()
	if l != nil {
		return l
	}
	s.linesMu.Lock()
	defer s.linesMu.Unlock()
	if s.lines[node] == nil {
		s.lines[node] = &line{carry: s.carry}
	}
	return s.lines[node]
}

// carry sends all asks, as few runs of the script, in one round trip.
func (s *Store) carry(ctx context.Context, asks []*ask) {
	all := gather(asks)
	calls := make([]call, len(all))
	now := time.Now()
	for i, t := range all {
		calls[i] = call{s.limitKeys(t.asks[0].subject), t.args(now)}
	}
	if _, cluster := s.hot.(*redis.ClusterClient); !cluster { // there one node that is away must not count as all of them
		ctx = weighing(ctx, len(asks))
	}
	replies := s.runCalls(ctx, s.hot, s.spend, calls)
	for i, t := range all {
		t.answer(replies[i])
	}
}

// together are asks of one subject that stand under the same limits: one run of spend.lua.
type together struct{ asks []*ask }

// gather puts asks together that one run of the script can decide. What came first of a subject is decided first.
func gather(asks []*ask) []*together {
	if len(asks) == 1 {
		return []*together{{asks}}
	}
	var all []*together
	latest := map[string]*together{}
	for _, a := range asks {
		t := latest[a.subject]
		if t == nil || len(t.asks) == scriptBatch || !sameLimits(t.asks[0].charges, a.charges) {
			t = &together{}
			latest[a.subject] = t
			all = append(all, t)
		}
		t.asks = append(t.asks, a)
	}
	return all
}

// sameLimits reports whether charges differ by their costs only.
func sameLimits(a, b []state.Charge) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !sameLimit(&a[i], &b[i]) {
			return false
		}
	}
	return true
}

// sameLimit reports whether two charges differ by their costs only.
func sameLimit(a, b *state.Charge) bool {
	return a.Limit == b.Limit && a.Slots == b.Slots && a.Rate == b.Rate && a.Quota == b.Quota
}

func (t *together) args(now time.Time) []any {
	charges := t.asks[0].charges
	args, life := make([]any, 4, 4+5*len(charges)+1), limitsLife
	for _, c := range charges {
		switch {
		case c.Slots > 0:
			args = append(args, c.Limit, "slots", c.Slots, 0, 0)
		case c.Rate.Count > 0:
			args = append(args, c.Limit, "rate", c.Rate.Tolerance().Microseconds(), 0, 0)
		default:
			from, to := c.Quota.Start(now), c.Quota.End(now)
			args = append(args, c.Limit, "quota", c.Quota.Limit, unix(from), unix(to))
			life = max(life, lifeOf(to, now))
		}
	}
	args[0], args[1], args[2], args[3] = life.Milliseconds(), state.OpenLife.Milliseconds(), state.SlotLife.Milliseconds(), len(charges)
	var asks flat
	asks.grow(len(t.asks) * (textRoom + len(t.asks[0].reservation) + numberRoom*len(charges)))
	for _, a := range t.asks {
		asks.text(a.reservation)
		for _, c := range a.charges {
			asks.number(costOf(c))
		}
	}
	return append(args, asks.pack())
}

// answer gives each ask its verdict.
func (t *together) answer(reply *redis.Cmd) {
	values, err := reply.Int64Slice()
	switch {
	case err == nil:
	case mayHaveRun(err):
		err = unavailable(err)
	default:
		err = unsent(err)
	}
	if err != nil {
		for _, a := range t.asks {
			a.err = err
		}
		return
	}
	charges := t.asks[0].charges
	limits := make([]standing, len(charges))
	for i := range limits {
		is := values[i*standingValues:]
		limits[i] = standing{is[0], is[1], is[2]}
	}
	told := values[len(limits)*standingValues:]
	waits := told[len(t.asks):]
	for i, a := range t.asks {
		v := state.Verdict{OK: told[i] <= 0}
		switch refused := told[i]; {
		case refused > 0:
			v.Refused, v.RetryAfter = a.charges[refused-1].Limit, span(waits[0])
			waits = waits[1:]
		case refused == 0:
			for k, c := range a.charges {
				limits[k].taken += max(costOf(c), 0)
			}
		}
		v.Balances = make([]state.Balance, len(limits))
		for k, l := range limits {
			v.Balances[k] = balance(a.charges[k], l)
		}
		a.verdict, a.err = v, nil
	}
}

// standing is what spend.lua says of a limit.
type standing struct {
	reset, start int64 // of a quota: ms to the end of the period, negative: never; and unix s of its start
	taken        int64 // debt in us, units used, or slots held
}

// standingValues are those of a standing in an answer.
const standingValues = 3

// costOf is what a charge adds to what is taken.
func costOf(c state.Charge) int64 {
	if c.Slots == 0 && c.Rate.Count > 0 {
		return c.Rate.Span(c.Cost).Microseconds()
	}
	return c.Cost
}
