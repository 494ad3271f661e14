package admission

import (
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

// spend takes the rates among the charges, all or none, from the share of one among so many replicas. With clamp a cost is
// never more than the share of the burst.
func (l *local) spend(now time.Time, subject string, charges []state.Charge, replicas int, clamp bool) state.Verdict {
	l.mu.Lock()
	defer l.mu.Unlock()
	v := state.Verdict{OK: true, Balances: make([]state.Balance, len(charges))}
	fulls, rates := make([]time.Time, len(charges)), make([]state.Rate, len(charges))
	for i, c := range charges {
		v.Balances[i] = state.Balance{Limit: c.Limit, Reset: -1}
		if c.Slots > 0 || c.Rate.Count == 0 {
			continue
		}
		rates[i] = c.Rate.Share(replicas)
		if clamp {
			c.Cost = min(c.Cost, rates[i].Burst)
		}
		full := l.refill[subject+"/"+c.Limit]
		if full.Before(now) {
			full = now
		}
		fulls[i] = full.Add(rates[i].Span(c.Cost))
		if over := fulls[i].Sub(now) - rates[i].Tolerance(); over > 0 && c.Cost > 0 {
			wait := over
			if rates[i].Span(c.Cost) > rates[i].Tolerance() {
				wait = -1
			}
			if v.OK || v.RetryAfter >= 0 && (wait < 0 || wait > v.RetryAfter) {
				v.OK, v.Refused, v.RetryAfter = false, c.Limit, wait
			}
		}
	}
	for i, c := range charges {
		if rates[i].Count == 0 {
			continue
		}
		id := subject + "/" + c.Limit
		if v.OK {
			l.refill[id] = fulls[i]
		}
		taken := max(l.refill[id].Sub(now), 0)
		v.Balances[i].Left, v.Balances[i].Reset = max(rates[i].Units(rates[i].Tolerance()-taken), 0), taken
	}
	l.sweepLocked(now)
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
