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
