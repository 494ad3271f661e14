package balancer

import (
	"math"
	"time"
)

// recent is what was drawn lately, in whole seconds.
type recent struct {
	since  time.Time // of the present second
	draws  int64
	costs  []int64
	before []int64 // what was drawn in the second before; nil: too little to hold some for it
}

// busy reports whether it pays to hold some.
func (r *recent) busy() bool { return r.before != nil || r.draws > busyFrom }

// expect is how much of a limit the next second will take: as much as the last one, or as this one so far.
func (r *recent) expect(i int) int64 {
	switch {
	case !r.busy():
		return 0
	case r.before == nil:
		return r.costs[i]
	default:
		return max(r.before[i], r.costs[i])
	}
}

func (r *recent) see(costs []int64, now time.Time) {
	if r.costs == nil {
		r.since, r.costs = now, make([]int64, len(costs))
	}
	if age := now.Sub(r.since); age >= lentFor {
		r.before = nil
		if float64(r.draws)/age.Seconds() >= busyFrom {
			r.before = make([]int64, len(costs))
			for i, sum := range r.costs {
				r.before[i] = int64(math.Ceil(float64(sum) / age.Seconds()))
			}
		}
		r.since, r.draws = now, 0
		clear(r.costs)
	}
	r.draws++
	for i, cost := range costs {
		r.costs[i] += cost
	}
}
