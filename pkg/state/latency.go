package state

import "time"

// LatencyBuckets is the number of latency buckets; the last one has no upper bound.
const LatencyBuckets = 64

// LatencyBound is the upper bound of bucket i, growing by a quarter from 1 ms, so that a percentile read from the
// buckets is at most 25 % too high. The last bound is about 20 minutes.
func LatencyBound(i int) time.Duration { return latencyBounds[min(max(i, 0), LatencyBuckets-1)] }

var latencyBounds = func() (b [LatencyBuckets]time.Duration) {
	d := float64(time.Millisecond)
	for i := range b {
		b[i] = time.Duration(d)
		d *= 1.25
	}
	return b
}()

// Observe counts one latency, and its time.
func (c *Counts) Observe(d time.Duration) {
	i := 0
	for i < LatencyBuckets-1 && d > latencyBounds[i] {
		i++
	}
	c.Latency[i]++
	c.Took(d)
}

// Took adds to the time alone: that of an attempt whose request went on.
func (c *Counts) Took(d time.Duration) { c.Time += d.Round(time.Millisecond).Milliseconds() }

// Percentile returns the bound under which the share p (0 to 1) of the latencies lie; 0 when there are none.
func (c *Counts) Percentile(p float64) time.Duration {
	var all int64
	for _, n := range c.Latency {
		all += n
	}
	if all == 0 {
		return 0
	}
	rank, seen := int64(p*float64(all)+0.5), int64(0)
	for i, n := range c.Latency {
		if seen += n; seen >= max(rank, 1) {
			return latencyBounds[i]
		}
	}
	return latencyBounds[LatencyBuckets-1]
}
