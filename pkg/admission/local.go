package admission

import (
	"math"
	"sync"
	"time"

	"openai-api-proxy/pkg/state"
)

// local keeps rates without the shared state, each at this replica's share. It is the algorithm of state.Rate, in the
// form of one number: the time at which everything that was taken will have been refilled. What was taken in the store
// before an outage is not known here, so an outage may let one share of a burst through again.
type local struct {
	mu     sync.Mutex           // guards refill and sweep
	refill map[string]time.Time // by subject and limit
	sweep  int                  // size at which the map is next looked through
}

// firstSweep is far above the clients that most people have.
const firstSweep = 1024

func newLocal() *local { return &local{refill: map[string]time.Time{}, sweep: firstSweep} }

// share is the part of a rate that one among so many replicas may let through: one request in every span of each, and a
// burst given as the time in which it is refilled. No share is less than one request, or nothing would ever pass.
func share(r state.Rate, replicas int) (each, burst time.Duration) {
	n := time.Duration(max(replicas, 1))
	each = max(r.Per*n/time.Duration(r.Count), 1)
	return each, each * min(max(time.Duration(r.Burst)/n, 1), math.MaxInt64/2/each)
}

// spend takes one charge of a rate from the share of one among so many replicas.
func (l *local) spend(now time.Time, subject string, charge state.Charge, replicas int) state.Verdict {
	each, burst := share(charge.Rate, replicas)
	id := subject + "/" + charge.Limit

	l.mu.Lock()
	defer l.mu.Unlock()
	full := l.refill[id]
	if full.Before(now) {
		full = now
	}
	v := state.Verdict{OK: true}
	if after := full.Add(each * time.Duration(charge.Cost)); after.Sub(now) <= burst {
		full = after
		l.refill[id] = full
		l.sweepLocked(now)
	} else {
		v = state.Verdict{Refused: charge.Limit, RetryAfter: after.Sub(now) - burst}
	}
	taken := full.Sub(now)
	v.Balances = []state.Balance{{Limit: charge.Limit, Left: int64((burst - taken) / each), Reset: taken}}
	return v
}

// sweepLocked forgets what has been refilled, which is the same as never taken, each time the map has doubled. So the
// map holds at most twice the subjects of one refill time.
func (l *local) sweepLocked(now time.Time) {
	if len(l.refill) < l.sweep {
		return
	}
	for id, full := range l.refill {
		if !full.After(now) {
			delete(l.refill, id)
		}
	}
	l.sweep = max(2*len(l.refill), firstSweep)
}
