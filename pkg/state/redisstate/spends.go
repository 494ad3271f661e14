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
	for i, c := range a {
		if c.Cost = b[i].Cost; c != b[i] {
			return false
		}
	}
	return true
}

func (t *together) args(now time.Time) []any {
	charges := t.asks[0].charges
	args, life := make([]any, 4, 4+5*len(charges)+len(t.asks)*(1+len(charges))), limitsLife
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
	for _, a := range t.asks {
		args = append(args, a.reservation)
		for _, c := range a.charges {
			if c.Slots == 0 && c.Rate.Count > 0 {
				c.Cost = c.Rate.Span(c.Cost).Microseconds()
			}
			args = append(args, c.Cost)
		}
	}
	return args
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
	limits := len(t.asks[0].charges)
	for i, a := range t.asks {
		if a.err = err; err == nil {
			a.verdict = verdict(values[:2*limits], values[2*limits+i*(2+limits):], a.charges)
		}
	}
}

// verdict reads what was said of the limits, two values of each, and of one ask.
func verdict(limits, reply []int64, charges []state.Charge) state.Verdict {
	v := state.Verdict{OK: reply[0] == 0, RetryAfter: span(reply[1]), Balances: make([]state.Balance, len(charges))}
	if !v.OK {
		v.Refused = charges[reply[0]-1].Limit
	}
	for i, c := range charges {
		v.Balances[i] = balance(c, reply[2+i], limits[2*i], limits[2*i+1])
	}
	return v
}
