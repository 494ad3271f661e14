package relay

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Over any run the retries stay within the larger of the two allowances, and what both save up.
func TestBudgetIsTheLargerOfBothAllowances(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(1_800_000_000, 0)
		start := now
		b := newBudget(func() time.Time { return now })
		requests, taken := 0, 0
		for range rapid.IntRange(1, 400).Draw(t, "steps") {
			switch rapid.IntRange(0, 2).Draw(t, "step") {
			case 0:
				b.earn()
				requests++
			case 1:
				if b.take() {
					taken++
				}
			case 2:
				now = now.Add(time.Duration(rapid.IntRange(0, 500).Draw(t, "ms")) * time.Millisecond)
			}
		}
		byTime := budgetAtOnce + budgetRate*now.Sub(start).Seconds()
		byShare := budgetShare * float64(requests)
		if most := byTime + byShare; float64(taken) > most+1 {
			t.Fatalf("%d retries for %d requests in %v", taken, requests, now.Sub(start))
		}
	})
}

func TestBudgetInAnOutage(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	b := newBudget(func() time.Time { return now })
	taken := 0
	for range 10_000 { // 1000 requests a second, each of which wants a retry, for 10 s
		b.earn()
		if b.take() {
			taken++
		}
		now = now.Add(time.Millisecond)
	}
	if taken < 1900 || taken > 2150 {
		t.Errorf("%d retries for 10,000 requests, want about 20 %%", taken)
	}
	idle := newBudget(func() time.Time { return now })
	for idle.take() {
	}
	taken = 0
	for range 100 { // 10 s without other traffic
		now = now.Add(100 * time.Millisecond)
		if idle.take() {
			taken++
		}
	}
	if taken < 28 || taken > 31 {
		t.Errorf("%d retries in 10 s, want about 3 a second", taken)
	}
}
