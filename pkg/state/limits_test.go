package state

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// However a rate is spent, in one piece or in many, no more comes out than its burst and what is refilled meanwhile, and
// not noticeably less.
func TestRatesAreNeverTooFast(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := Rate{Count: rapid.Int64Range(1, 1_000_000_000).Draw(t, "count"), Per: rapid.SampledFrom([]time.Duration{time.Second, time.Minute, time.Hour}).Draw(t, "per"),
			Burst: rapid.Int64Range(1, 1_000_000_000).Draw(t, "burst")}
		cost := rapid.Int64Range(1, r.Burst).Draw(t, "cost")
		span, tolerance := r.Span(cost), r.Tolerance()
		// Pieces of that cost until the burst is used up.
		if pieces := int64(tolerance / span); pieces > 0 && cost > r.Burst/pieces {
			t.Fatalf("%d pieces of %d fit a burst of %d", pieces, cost, r.Burst)
		}
		// In an hour, without the burst.
		if units := float64(time.Hour/span) * float64(cost); units > float64(r.Count)*float64(time.Hour/r.Per)+1e-6 {
			t.Fatalf("%v units an hour at %d in %v", units, r.Count, r.Per)
		}
		if r.Count <= int64(r.Per/time.Millisecond) {
			if r.Tolerance() != time.Duration(r.Burst)*r.Span(1) && r.Tolerance() != longest {
				t.Fatalf("a burst of %d is not %d units", r.Burst, r.Burst)
			}
		}
		if back := r.Span(-cost); back > 0 || -back > span {
			t.Fatalf("%v is charged, %v given back", span, back)
		}
		if left := r.Units(tolerance); left > r.Burst {
			t.Fatalf("a full burst of %d has %d", r.Burst, left)
		}
	})
}
