package balancer

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"

	"openai-api-proxy/pkg/state"
)

var (
	errFailed = errors.New("the attempt failed")
	errNobody = errors.New("nobody is to blame")
)

// bucketPeriod divides the failure window.
const bucketPeriod = 3 * time.Second

// breaker is the circuit breaker of one key. gobreaker counts and decides; how long the key rests is said by the rest
// that a trip begins, since gobreaker's own timeout is the same for every trip. The distributed breaker of that library
// is not used: it holds a lock in Redis for the whole upstream call.
type breaker struct {
	two     atomic.Pointer[gobreaker.TwoStepCircuitBreaker[struct{}]]
	policy  func() Policy
	forced  atomic.Bool  // the next failure trips, whatever the counts say
	tripped atomic.Bool  // set under gobreaker's lock, where nothing else may be done
	allowed atomic.Int64 // attempts since the fleet was told of a failure
}

func newBreaker(p func() Policy) *breaker {
	br := &breaker{policy: p}
	br.reset()
	return br
}

// reset puts a fresh breaker in place, when another replica found the key well. What is under way reports to the old one,
// which nobody asks any more.
func (br *breaker) reset() {
	br.two.Store(gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		MaxRequests:  1,
		Interval:     state.FailureWindow,
		BucketPeriod: bucketPeriod,
		Timeout:      br.policy().OpenTimeout,
		ReadyToTrip: func(c gobreaker.Counts) bool {
			return br.forced.Load() || br.policy().trips(int64(c.TotalSuccesses)+int64(c.TotalFailures), int64(c.TotalFailures))
		},
		OnStateChange: func(_ string, _, to gobreaker.State) {
			if to == gobreaker.StateOpen {
				br.tripped.Store(true)
			}
		},
		IsExcluded: func(err error) bool { return errors.Is(err, errNobody) },
	}))
}

// trips reports whether so many failures among so many attempts are too many.
func (p Policy) trips(attempts, failures int64) bool {
	return failures >= int64(p.FailureThreshold) && failures*2 >= attempts
}

// allow asks for one attempt; done must be called once.
func (br *breaker) allow() (done func(error), err error) {
	br.allowed.Add(1)
	return br.two.Load().Allow()
}

// since is how many attempts there were since it was asked last, as far as they lie in the window.
func (br *breaker) since() int64 {
	return max(min(br.allowed.Swap(0), int64(br.two.Load().Counts().Requests)), 1)
}

// justTripped reports, once, that the breaker opened.
func (br *breaker) justTripped() bool { return br.tripped.Swap(false) }

// letProbe lets the fleet's probe through: a breaker that opened because another replica said so has a timeout of its own,
// which may end later than the rest.
func (br *breaker) letProbe() {
	if br.two.Load().State() == gobreaker.StateOpen {
		br.reset()
	}
}

// trip opens the breaker because the fleet, or another replica, says so.
func (br *breaker) trip() {
	br.forced.Store(true)
	defer br.forced.Store(false)
	if done, err := br.two.Load().Allow(); err == nil {
		done(errFailed)
	}
	br.tripped.Store(false) // the rest is there already
}
