package state

import (
	"math"
	"math/bits"
	"time"

	"openai-api-proxy/pkg/proxy"
)

// Charge is an amount to be taken from one limit of a subject: slots, a rate, or a quota.
type Charge struct {
	Limit string // names it in verdicts and in the store: "rpm", "requests/day"; unique among a subject's charges
	Cost  int64
	Slots int64 // how many may be held at once; used when above 0, and then Cost is 1, or 0 to read
	Rate  Rate  // used otherwise when Rate.Count > 0
	Quota Quota // used otherwise
}

// Rate lets Burst through at once and refills Count in every Per. It is kept as one theoretical arrival time, the
// virtual scheduling algorithm (GCRA) of ITU-T I.371.
type Rate struct {
	Count int64
	Per   time.Duration
	Burst int64
}

// Quota lets Limit through in each calendar period.
type Quota struct {
	Limit  int64
	Period proxy.Period
	Zone   *time.Location // of the calendar; nil: UTC
}

// Start is when the period that holds t began.
func (q Quota) Start(t time.Time) time.Time { return q.Period.StartIn(t, q.zone()) }

// End is when it ends; the zero time: never.
func (q Quota) End(t time.Time) time.Time { return q.Period.EndIn(t, q.zone()) }

func (q Quota) zone() *time.Location {
	if q.Zone == nil {
		return time.UTC
	}
	return q.Zone
}

// longest bounds what a rate takes at once, about 35 years, so that times stay exact in Lua and do not overflow here.
const longest = 1 << 50 * time.Microsecond

// coarse is the interval of a unit, in microseconds, from which it is rounded up as such: then a burst has exactly its
// units and the rate is at most a thousandth too slow. Below it, where units are tokens and come by the thousand, each cost
// is rounded up as a whole.
const coarse = 1000

// interval is the whole number of microseconds that a unit takes, rounded up.
func (r Rate) interval() int64 { return (r.Per.Microseconds() + r.Count - 1) / r.Count }

// Span is the time in which so many units are refilled, in whole microseconds and never too short: what is rounded is
// rounded against the one who spends. Units below zero, which are given back, give a span below zero.
func (r Rate) Span(units int64) time.Duration {
	if i := r.interval(); i >= coarse {
		return micros(units, i, 1, 0)
	}
	if units < 0 {
		return -micros(-units, r.Per.Microseconds(), r.Count, 0)
	}
	return micros(units, r.Per.Microseconds(), r.Count, r.Count-1)
}

// Tolerance is the span of the burst: how far the arrival time may lie ahead. It is that of single units as long as their
// rounding, all together, does not come to a unit.
func (r Rate) Tolerance() time.Duration {
	if i := r.interval(); i >= coarse || r.Burst < i {
		return micros(r.Burst, i, 1, 0)
	}
	return max(micros(r.Burst, r.Per.Microseconds(), r.Count, 0), r.Span(1))
}

// Units is how many whole units a span refills, at most the burst. Below zero it is how many are missing, a part of one counted as one.
func (r Rate) Units(span time.Duration) int64 {
	count, per := r.Count, r.Per.Microseconds()
	if i := r.interval(); i >= coarse {
		count, per = 1, i
	}
	if span < 0 {
		return -divide(-span.Microseconds(), count, per, per-1)
	}
	return min(divide(span.Microseconds(), count, per, 0), r.Burst)
}

// Share is the part of a rate that one among so many replicas may let through while nobody can say what the others do. No
// share of a burst is less than one, or nothing would ever pass.
func (r Rate) Share(replicas int) Rate {
	n := int64(max(replicas, 1))
	return Rate{Count: r.Count, Per: r.Per * time.Duration(n), Burst: max(r.Burst/n, 1)}
}

// micros is a*b/c microseconds, within what both stores can keep.
func micros(a, b, c, more int64) time.Duration {
	if a < 0 {
		return -micros(-a, b, c, more)
	}
	return time.Duration(min(divide(a, b, c, more), int64(longest/time.Microsecond))) * time.Microsecond
}

// divide is (a*b + more) / c, of numbers that are not negative; the largest one if that is too large.
func divide(a, b, c, more int64) int64 {
	high, low := bits.Mul64(uint64(a), uint64(b))
	low, carry := bits.Add64(low, uint64(more), 0)
	if high += carry; high >= uint64(c) {
		return math.MaxInt64
	}
	n, _ := bits.Div64(high, low, uint64(c))
	return int64(min(n, math.MaxInt64))
}

// Verdict answers Spend. Balances has one entry for each charge, in order, after the spending.
type Verdict struct {
	OK         bool
	Refused    string        // the limit that refused
	RetryAfter time.Duration // until it would not; for a quota, until the period ends; for slots a second; negative: never
	Balances   []Balance
}

// Balance is what is left of a limit. Left is below zero for a rate that was settled for more than its burst.
type Balance struct {
	Limit string
	Left  int64
	Reset time.Duration // until all of it is there again; negative: never, or not known
	Start time.Time     // of a quota's period, as it was charged; to be handed to Settle
}

// SlotWait is what a refusal for want of a slot says: nobody knows when a request ends.
const SlotWait = time.Second

// Settlement is the truth about one reservation.
type Settlement struct {
	Subject     string
	Reservation string
	// Unheard is set when the answer of Spend was lost, or it was not asked at all, so that the charges may not have been
	// taken. Then the quotas are charged with all that was spent unless they were; rates and slots are not.
	Unheard bool
	// Apart is set for one that corrects what was charged under the name of another reservation. Its own name was never
	// spent for, and each limit moves by what was spent less the cost, which may be 0 with a Spent below it.
	Apart   bool
	Amounts []Spending // slots have none: they are freed
}

// Spending is what was charged to a limit and what was spent of it. Cost and the rest of the charge are those of Spend. Spent is
// below 0 where more than all of it is to be given back.
type Spending struct {
	Charge
	Start time.Time // of a quota's period, from the balance; what belongs to a period that has ended changes no other
	Spent int64
}

// Held is a reservation whose request goes on.
type Held struct {
	Subject     string
	Reservation string
	Slots       bool // it holds a slot too
}
