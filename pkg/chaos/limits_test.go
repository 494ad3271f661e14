package chaos

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// leaseLife is how long a block of the client's limits is served from; see pkg/admission.
func (c *client) leaseLife() time.Duration {
	if c.Mode == strict || c.Concurrency > 0 {
		return 0
	}
	return time.Second
}

// admitted is a request that the upstream began: it was admitted at some time from sent to arrived, and took a slot until
// ended at least.
type admitted struct {
	sent, arrived, ended time.Time
	tokens               int64 // billed
}

// admissions are those of a client, by when the upstream began. A request that was tried with several keys is one.
func admissions(client string, calls []*call, tries map[string][]*exchange) (all []admitted) {
	for _, c := range calls {
		exchanges := tries[c.tag]
		if c.client != client || len(exchanges) == 0 {
			continue
		}
		a := admitted{sent: c.sent, arrived: exchanges[0].arrived, ended: exchanges[len(exchanges)-1].ended}
		if c.ended.Before(a.ended) {
			a.ended = c.ended
		}
		for _, e := range exchanges {
			a.tokens += e.input + e.output
		}
		all = append(all, a)
	}
	slices.SortFunc(all, func(a, b admitted) int { return a.arrived.Compare(b.arrived) })
	return all
}

// inside are the admissions that were made within the span.
func inside(all []admitted, s span) (some []admitted) {
	for _, a := range all {
		if !a.sent.Before(s.from) && !a.arrived.After(s.to) {
			some = append(some, a)
		}
	}
	return some
}

// overRate is by how much more was admitted, in the worst of all spans, than burst + perMinute x (span + lease life);
// negative: so much less. cost says what an admission counts for.
func overRate(c *client, all []admitted, burst, perMinute int64, cost func(admitted) float64) float64 {
	worst := -float64(burst)
	for _, first := range all {
		sum := 0.
		for _, a := range all {
			if a.sent.Before(first.sent) {
				continue
			}
			sum += cost(a)
			worst = max(worst, sum-float64(burst)-float64(perMinute)*(a.arrived.Sub(first.sent)+c.leaseLife()).Minutes())
		}
	}
	return worst
}

// mostAtOnce is how many ran at the same time, at most.
func mostAtOnce(all []admitted) (most int) {
	type step struct {
		at  time.Time
		one int
	}
	var steps []step
	for _, a := range all {
		if a.ended.After(a.arrived) {
			steps = append(steps, step{a.arrived, 1}, step{a.ended, -1})
		}
	}
	slices.SortFunc(steps, func(a, b step) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.one, b.one)) })
	for n, i := 0, 0; i < len(steps); i++ {
		n += steps[i].one
		most = max(most, n)
	}
	return most
}

// mostInAMinute is the most that requests were billed which were certainly admitted in one minute of the clock.
func mostInAMinute(all []admitted) (most int64) {
	sums := map[time.Time]int64{}
	for _, a := range all {
		if minute := a.sent.Truncate(time.Minute); minute.Equal(a.arrived.Truncate(time.Minute)) {
			sums[minute] += a.tokens
			most = max(most, sums[minute])
		}
	}
	return most
}

// checkLimits holds the limits of every client against what the upstream began and billed.
func (v *verdict) checkLimits(s *storm, calls []*call, calms []span) {
	tries := s.upstream.byTag()
	calm := time.Duration(0)
	for _, c := range calms {
		calm += c.to.Sub(c.from)
	}
	for _, c := range v.clients {
		all := admissions(c.ID, calls, tries)
		if c.Mode == strict {
			v.checkQuotas(c, all)
		}
		for _, calm := range calms {
			v.checkRates(c, inside(all, calm), calm.from.Sub(calms[0].from))
		}
		if c.RPM > 0 && c.RPM < 10_000 {
			v.print("%-9s %6d begun in all, %+.0f against burst + rate x span over outages too", c.ID, len(all),
				overRate(c, all, c.Burst, c.RPM, one))
		}
	}
	spent := usedUp(calls)
	v.figure("strict overshoot", "%d tokens; %d clients used up a quota", v.overshoot, spent)
	v.check(spent > 0, "nobody used up a quota")
	v.figure("rates, slots", "checked in %.1f s, %d stretches in which no replica decided without Redis", calm.Seconds(), len(calms))
}

// usedUp is how many clients were told that their quota is.
func usedUp(calls []*call) int {
	told := map[string]bool{}
	for _, c := range calls {
		if c.code == "insufficient_quota" {
			told[c.client] = true
		}
	}
	return len(told)
}

func one(admitted) float64 { return 1 }

// checkQuotas is for strict clients: no bill is above a quota, whatever happened.
func (v *verdict) checkQuotas(c *client, all []admitted) {
	var billed int64
	for _, a := range all {
		billed += a.tokens
	}
	if limit := c.quota("total"); limit > 0 {
		used := v.redisUsed(c.ID, "tokens/total")
		v.print("%-9s %6d begun, %8d billed, %8d counted of %d in total", c.ID, len(all), billed, used, limit)
		v.check(billed <= used, "%s was billed %d and Redis counted %d", c.ID, billed, used)
		v.check(used <= limit, "Redis counted %d of %s's quota of %d", used, c.ID, limit)
		v.overshoot += max(billed-limit, 0)
		v.check(billed <= limit, "%s was billed %d of its quota of %d", c.ID, billed, limit)
	}
	if limit := c.quota("minute"); limit > 0 {
		most := mostInAMinute(all)
		v.print("%-9s %6d begun, %8d billed at most of %d in a minute", c.ID, len(all), most, limit)
		v.overshoot += max(most-limit, 0)
		v.check(most <= limit, "%s was billed %d of its quota of %d in one minute", c.ID, most, limit)
	}
}

// checkRates is for the admissions of a time in which Redis answered.
func (v *verdict) checkRates(c *client, all []admitted, from time.Duration) {
	when := fmt.Sprintf("in the calm after %.1f s", from.Seconds())
	if c.RPM > 0 && c.RPM < 10_000 {
		over := overRate(c, all, c.Burst, c.RPM, one)
		v.check(over <= 0, "%s: %.1f requests more than its rate allows, %s", c.ID, over, when)
	}
	if c.TPM > 0 && c.Mode == strict {
		over := overRate(c, all, c.TPM, c.TPM, func(a admitted) float64 { return float64(a.tokens) })
		v.check(over <= 0, "%s: %.0f tokens more than its rate allows, %s", c.ID, over, when)
	}
	if c.Concurrency > 0 {
		most := mostAtOnce(all)
		v.check(int64(most) <= c.Concurrency, "%s: %d requests at the same time, %d are allowed, %s", c.ID, most, c.Concurrency, when)
	}
}
