package admission

import (
	"fmt"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"openai-api-proxy/pkg/state"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func rpm(count, burst int64) state.Charge {
	return state.Charge{Limit: "rpm", Cost: 1, Rate: state.Rate{Count: count, Per: time.Minute, Burst: burst}}
}

// one takes a single charge.
func (l *local) one(now time.Time, subject string, charge state.Charge, replicas int) state.Verdict {
	return l.spend(now, subject, []state.Charge{charge}, replicas, false)
}

func TestShare(t *testing.T) {
	tests := map[string]struct {
		count, burst int64
		replicas     int
		each         time.Duration
		atOnce       int64
	}{
		"alone":              {60, 5, 1, time.Second, 5},
		"one of two":         {60, 5, 2, 2 * time.Second, 2},
		"more than the rate": {60, 5, 120, 2 * time.Minute, 1},
		"none seen":          {60, 5, 0, time.Second, 5},
		"beyond all clocks":  {math.MaxInt64, 1, 1, time.Microsecond, 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := rpm(tt.count, tt.burst).Rate.Share(tt.replicas)
			if r.Span(1) != tt.each || r.Burst != tt.atOnce {
				t.Errorf("one in %s, %d at once; want one in %s, %d", r.Span(1), r.Burst, tt.each, tt.atOnce)
			}
		})
	}
}

// Of several rates all are taken or none, and a cost that no share allows is refused for good or clamped.
func TestLocalTakesAllOrNone(t *testing.T) {
	l := newLocal()
	both := func(cost int64) []state.Charge {
		return []state.Charge{rpm(60, 10), {Limit: "tpm", Cost: cost, Rate: state.Rate{Count: 100, Per: time.Minute, Burst: 100}}}
	}
	if v := l.spend(noon, "c:a", both(40), 2, false); !v.OK || v.Balances[0].Left != 4 || v.Balances[1].Left != 10 {
		t.Errorf("%+v", v)
	}
	for range 3 {
		if v := l.spend(noon, "c:a", both(40), 2, false); v.OK || v.Refused != "tpm" || v.Balances[0].Left != 4 || v.RetryAfter != 36*time.Second {
			t.Errorf("%+v", v)
		}
	}
	if v := l.spend(noon, "c:b", both(60), 2, false); v.OK || v.RetryAfter >= 0 {
		t.Errorf("more than the share: %+v", v)
	}
	if v := l.spend(noon, "c:b", both(60), 2, true); !v.OK || v.Balances[1].Left != 0 {
		t.Errorf("clamped: %+v", v)
	}
}

// In no span does a share let more through than its burst and what is refilled meanwhile; and a refusal says to the
// nanosecond when the next request will pass.
func TestLocalKeepsTheRate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		charge := rpm(rapid.Int64Range(1, 5000).Draw(t, "count"), rapid.Int64Range(1, 20).Draw(t, "burst"))
		replicas := rapid.IntRange(1, 12).Draw(t, "replicas")
		part := charge.Rate.Share(replicas)
		each, burst := part.Span(1), part.Tolerance()
		l, now := newLocal(), noon
		var passed []time.Time
		for range rapid.IntRange(1, 60).Draw(t, "requests") {
			now = now.Add(time.Duration(rapid.Int64Range(0, 2*int64(each)).Draw(t, "pause")))
			v := l.one(now, "c:a", charge, replicas)
			if !v.OK {
				if early := l.one(now.Add(v.RetryAfter-1), "c:a", charge, replicas); early.OK {
					t.Fatalf("passes before the %s it was told", v.RetryAfter)
				}
				now = now.Add(v.RetryAfter)
				v = l.one(now, "c:a", charge, replicas)
			}
			if !v.OK || v.Balances[0].Left < 0 || v.Balances[0].Left >= int64(burst/each) {
				t.Fatalf("got %+v after waiting as told", v)
			}
			passed = append(passed, now)
			for i, first := range passed {
				if n, most := len(passed)-i, int64(burst/each)+int64(now.Sub(first)/each); int64(n) > most {
					t.Fatalf("%d passed in %s, at most %d may", n, now.Sub(first), most)
				}
			}
		}
	})
}

func TestLocalSubjectsAreApart(t *testing.T) {
	l := newLocal()
	for _, subject := range []string{"c:a", "c:b"} {
		if v := l.one(noon, subject, rpm(60, 1), 1); !v.OK {
			t.Errorf("%s pays for another: %+v", subject, v)
		}
	}
}

func TestLocalForgetsWhatIsRefilled(t *testing.T) {
	l := newLocal()
	for i := range firstSweep - 1 {
		l.one(noon, fmt.Sprint("c:", i), rpm(60, 1), 1)
	}
	last := noon.Add(time.Second)
	l.one(last, "c:last", rpm(60, 1), 1)
	if len(l.refill) != 1 {
		t.Errorf("%d subjects kept, want the last one", len(l.refill))
	}
	if v := l.one(last, "c:last", rpm(60, 1), 1); v.OK {
		t.Error("the last one was forgotten too")
	}
}
