package state

import (
	"testing"
	"time"
)

func TestPercentiles(t *testing.T) {
	var c Counts
	if c.Percentile(.5) != 0 {
		t.Error("a percentile of nothing")
	}
	for ms := 1; ms <= 1000; ms++ {
		c.Observe(time.Duration(ms) * time.Millisecond)
	}
	for p, want := range map[float64]time.Duration{.5: 500 * time.Millisecond, .95: 950 * time.Millisecond, .99: 990 * time.Millisecond} {
		if got := c.Percentile(p); got < want || got > want*5/4 {
			t.Errorf("p%v is %v, want %v to a quarter more", p*100, got, want)
		}
	}
	c.Observe(100 * time.Hour)
	if got := c.Percentile(1); got != LatencyBound(LatencyBuckets-1) || got < 15*time.Minute {
		t.Errorf("the slowest is %v", got)
	}
}
