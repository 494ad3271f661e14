package statetest

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
)

func slots(n, cost int64) state.Charge {
	return state.Charge{Limit: "concurrency", Slots: n, Cost: cost}
}

// perHour is a rate that refills nothing while a test runs.
func perHour(burst, cost int64) state.Charge {
	return state.Charge{Limit: "tpm", Cost: cost, Rate: state.Rate{Count: 1, Per: time.Hour, Burst: burst}}
}

func reserve(t testing.TB, s state.Store, subject, reservation string, charges ...state.Charge) state.Verdict {
	t.Helper()
	v, err := s.Spend(t.Context(), subject, reservation, charges)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// lefts are the balances of limits, read without taking anything.
func lefts(t testing.TB, s state.Store, subject string, charges ...state.Charge) (left []int64) {
	t.Helper()
	free := append([]state.Charge(nil), charges...)
	for i := range free {
		free[i].Cost = 0
	}
	for _, b := range reserve(t, s, subject, "", free...).Balances {
		left = append(left, b.Left)
	}
	return left
}

// settled is the settlement of a reservation by the verdict that it was given.
func settled(subject, reservation string, v state.Verdict, charges []state.Charge, spent ...int64) state.Settlement {
	all := state.Settlement{Subject: subject, Reservation: reservation}
	for i, c := range charges {
		if c.Slots == 0 {
			all.Amounts = append(all.Amounts, state.Spending{Charge: c, Start: v.Balances[i].Start, Spent: spent[i]})
		}
	}
	return all
}

func settle(t testing.TB, s state.Store, all ...state.Settlement) {
	t.Helper()
	if err := s.Settle(t.Context(), all); err != nil {
		t.Fatal(err)
	}
}

func same(t testing.TB, what string, got []int64, want ...int64) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: left %v, want %v", what, got, want)
	}
}

// Of slots, rates and quotas together all are taken or none, whichever refuses; the one that frees last is named.
func mixedAllOrNothing(t *testing.T, s state.Store) {
	who := fresh("c:")
	all := func(slot, rate, quota int64) []state.Charge {
		return []state.Charge{perHour(100, rate), slots(2, slot), inTotal(50, quota)}
	}
	reserve(t, s, who, fresh("r"), all(1, 10, 10)...)
	for name, c := range map[string]struct {
		charges []state.Charge
		refused string
		wait    time.Duration
	}{
		"the rate":  {all(1, 95, 1), "tpm", 5 * time.Hour},
		"the quota": {all(1, 1, 41), "requests/total", -1},
		"both":      {all(1, 95, 41), "requests/total", -1},
		"never":     {all(1, 101, 1), "tpm", -1},
	} {
		v := reserve(t, s, who, fresh("r"), c.charges...)
		if v.OK || v.Refused != c.refused || (v.RetryAfter < 0) != (c.wait < 0) || v.RetryAfter > c.wait || c.wait > 0 && v.RetryAfter < c.wait-time.Minute {
			t.Errorf("%s: %+v", name, v)
		}
		same(t, name, lefts(t, s, who, all(0, 0, 0)...), 90, 1, 40)
	}
	reserve(t, s, who, fresh("r"), all(1, 10, 10)...)
	if v := reserve(t, s, who, fresh("r"), all(1, 1, 1)...); v.OK || v.Refused != "concurrency" || v.RetryAfter != state.SlotWait {
		t.Errorf("no slot: %+v", v)
	}
	same(t, "at the end", lefts(t, s, who, all(0, 0, 0)...), 80, 0, 30)
}

// What was charged is replaced by what was spent, once; a rate may be left with a debt, a quota with more than its limit.
func settleOnce(t *testing.T, s state.Store) {
	who := fresh("c:")
	charges := []state.Charge{perHour(100, 60), inTotal(500, 60), slots(1, 1)}
	one := fresh("r")
	v := reserve(t, s, who, one, charges...)
	same(t, "reserved", lefts(t, s, who, charges...), 40, 440, 0)
	same(t, "reserved again", []int64{btoi(reserve(t, s, who, one, charges...).OK)}, 1)
	same(t, "reserved again", lefts(t, s, who, charges...), 40, 440, 0)
	for range 3 {
		settle(t, s, settled(who, one, v, charges, 25, 25))
		same(t, "settled for less", lefts(t, s, who, charges...), 75, 475, 1)
	}
	settle(t, s, settled(who, fresh("unknown"), v, charges, 999, 999))
	same(t, "a stranger's", lefts(t, s, who, charges...), 75, 475, 1)

	two := fresh("r")
	v = reserve(t, s, who, two, charges...)
	again := settled(who, two, v, charges, 300, 600)
	settle(t, s, again, again)
	same(t, "settled for more", lefts(t, s, who, charges...), -225, 0, 1)
	charges[0].Cost = 1
	if v := reserve(t, s, who, fresh("r"), charges[0]); v.OK || v.RetryAfter < 225*time.Hour-time.Minute || v.RetryAfter > 226*time.Hour {
		t.Errorf("in debt: %+v", v)
	}
}

func btoi(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// Whether an unheard reservation was taken or not, its quotas are right after it was told, however often and in whichever
// order.
func unheard(t *testing.T, s state.Store) {
	charges := []state.Charge{perHour(100, 10), inTotal(500, 10), slots(5, 1)}
	told := func(who, r string, spent int64) state.Settlement {
		u := settled(who, r, state.Verdict{Balances: make([]state.Balance, 3)}, charges, spent, spent)
		u.Unheard = true
		return u
	}
	who, r := fresh("c:"), fresh("r")
	reserve(t, s, who, r, charges...)
	for range 2 {
		settle(t, s, told(who, r, 30))
		same(t, "taken", lefts(t, s, who, charges...), 70, 470, 5)
	}
	who, r = fresh("c:"), fresh("r")
	for range 2 {
		settle(t, s, told(who, r, 30))
		same(t, "not taken", lefts(t, s, who, charges...), 100, 470, 5)
	}
	reserve(t, s, who, r, charges...)
	same(t, "taken late", lefts(t, s, who, charges...), 100, 470, 5)
}

// A correction under a name of its own moves every limit, once.
func apart(t *testing.T, s state.Store) {
	who := fresh("c:")
	charges := []state.Charge{perHour(100, 50), inTotal(500, 50)}
	v := reserve(t, s, who, fresh("r"), charges...)
	want := []int64{50, 450}
	for _, moved := range []int64{20, -30} {
		correction := settled(who, fresh("r"), v, charges, moved, moved)
		correction.Apart = true
		for i := range correction.Amounts {
			correction.Amounts[i].Cost = 0
		}
		want[0], want[1] = want[0]-moved, want[1]-moved
		for range 2 {
			settle(t, s, correction)
			same(t, fmt.Sprint("moved by ", moved), lefts(t, s, who, charges...), want...)
		}
	}
}

// A block may be settled for less than nothing, when less was used of what was charged before; no limit has more than all of it.
func blocks(t *testing.T, s state.Store) {
	for _, subject := range []string{"k:", "a:"} {
		who := fresh(subject)
		charges := []state.Charge{perHour(100, 60), inTotal(500, 60)}
		one, two := fresh("r"), fresh("r")
		first := reserve(t, s, who, one, charges...)
		settle(t, s, settled(who, one, first, charges, 60, 60))
		charges[0].Cost, charges[1].Cost = 20, 20
		second := reserve(t, s, who, two, charges...)
		same(t, "two blocks", lefts(t, s, who, charges...), 20, 420)
		settle(t, s, settled(who, two, second, charges, -30, -30))
		same(t, "settled for less than nothing", lefts(t, s, who, charges...), 70, 470)
		three := fresh("r")
		third := reserve(t, s, who, three, charges...)
		settle(t, s, settled(who, three, third, charges, -1000, -1000))
		same(t, "settled for very little", lefts(t, s, who, charges...), 100, 500)
	}
}

// What belongs to a day that has ended does not count for this one.
func endedPeriods(t *testing.T, s state.Store) {
	who := fresh("c:")
	for name, zone := range map[string]*time.Location{"UTC": nil, "east": time.FixedZone("east", 14*3600), "west": time.FixedZone("west", -11*3600)} {
		day := state.Charge{Limit: name + "/day", Cost: 10, Quota: state.Quota{Limit: 100, Period: proxy.Day, Zone: zone}}
		total := inTotal(100, 10)
		total.Limit = name + "/total"
		charges := []state.Charge{day, total}
		r := fresh("r")
		v := reserve(t, s, who, r, charges...)
		if start := day.Quota.Start(time.Now()); !v.Balances[0].Start.Equal(start) || !v.Balances[1].Start.IsZero() || v.Balances[0].Reset <= 0 {
			t.Errorf("%s: starts %v and %v, want %v", name, v.Balances[0].Start, v.Balances[1].Start, start)
		}
		yesterday := v
		yesterday.Balances = []state.Balance{{Start: day.Quota.Start(v.Balances[0].Start.Add(-time.Hour))}, {}}
		settle(t, s, settled(who, r, yesterday, charges, 50, 50))
		same(t, name, lefts(t, s, who, charges...), 90, 50)
	}
}

// However many ask at once, slots are never more than there are, and all come back.
func slotsAreExact(t *testing.T, s state.Store) {
	who := fresh("c:")
	const most = 7
	var live, admitted atomic.Int64
	crowd(t, 32, 30, func() {
		r := fresh("r")
		if !reserve(t, s, who, r, slots(most, 1)).OK {
			return
		}
		admitted.Add(1)
		if n := live.Add(1); n > most {
			t.Errorf("%d at once, %d may", n, most)
		}
		live.Add(-1)
		settle(t, s, state.Settlement{Subject: who, Reservation: r})
	})
	if admitted.Load() < most {
		t.Errorf("%d admitted", admitted.Load())
	}
	same(t, "at the end", lefts(t, s, who, slots(most, 1)), most)
	if err := s.Renew(t.Context(), []state.Held{{Subject: who, Reservation: "settled-long-ago", Slots: true}}); err != nil {
		t.Error(err)
	}
	same(t, "after a late renewal", lefts(t, s, who, slots(most, 1)), most)
}

// ledger is what a subject's limits should be: the model of Machine.
type ledger struct {
	debt        time.Duration // of the rate
	day, total  int64
	start       time.Time // of the day that day counts for
	slots, open map[string]time.Time
	told        map[string]time.Time
	made        map[string]state.Verdict
	costs       map[string][]state.Charge
}

const (
	machineBurst, machineDay, machineTotal, machineSlots = 40, 60, 200, 3
)

func machineCharges(rate, quota int64) []state.Charge {
	return []state.Charge{perHour(machineBurst, rate), slots(machineSlots, min(quota, 1)), inTotal(machineTotal, quota),
		{Limit: "tokens/day", Cost: quota, Quota: state.Quota{Limit: machineDay, Period: proxy.Day, Zone: machineZone}}}
}

var machineZone = time.FixedZone("machine", 5*3600+1800)

// Machine spends, settles, renews and lets time pass at random, and compares with a model that does the same in the plainest
// way. Without pass, time does what it does, and is taken to be too short to matter.
func Machine(t *testing.T, s state.Store, now func() time.Time, pass func(time.Duration)) {
	rapid.Check(t, func(r *rapid.T) {
		who := fresh("c:")
		m := &ledger{slots: map[string]time.Time{}, open: map[string]time.Time{}, told: map[string]time.Time{},
			made: map[string]state.Verdict{}, costs: map[string][]state.Charge{}}
		var names []string
		pick := func() string { return rapid.SampledFrom(names).Draw(r, "reservation") }
		for range rapid.IntRange(1, 40).Draw(r, "steps") {
			switch step := rapid.IntRange(0, 9).Draw(r, "step"); {
			case step < 4 || len(names) == 0:
				name := fresh("r")
				names = append(names, name)
				m.spend(r, s, who, name, machineCharges(rapid.Int64Range(1, 15).Draw(r, "rate"), rapid.Int64Range(1, 12).Draw(r, "quota")), now())
			case step < 5:
				name := pick()
				m.spend(r, s, who, name, m.costs[name], now())
			case step < 8:
				name := pick()
				m.settle(r, s, who, name, rapid.Int64Range(0, 30).Draw(r, "spent"), rapid.IntRange(0, 3).Draw(r, "unheard") == 0, now())
			case step < 9:
				name := pick()
				if err := s.Renew(t.Context(), []state.Held{{Subject: who, Reservation: name, Slots: true}}); err != nil {
					r.Fatal(err)
				}
				m.renew(name, now())
			case pass != nil:
				d := time.Duration(rapid.SampledFrom([]int64{1, 20, 31, 1800, 3601, 30_000, 86_400}).Draw(r, "seconds")) * time.Second
				pass(d)
				m.debt = max(m.debt-d, 0)
			}
			m.check(r, s, who, now())
		}
	})
}

func (m *ledger) known(name string, now time.Time) (open bool) {
	until, open := m.open[name]
	if open && !until.After(now) {
		delete(m.open, name)
		open = false
	}
	return open
}

func (m *ledger) live(now time.Time) (n int64) {
	for name, until := range m.slots {
		if !until.After(now) {
			delete(m.slots, name)
		}
	}
	return int64(len(m.slots))
}

func (m *ledger) today(now time.Time) {
	if start := proxy.Day.StartIn(now, machineZone); start.After(m.start) {
		m.start, m.day = start, 0
	}
}

func (m *ledger) spend(r *rapid.T, s state.Store, who, name string, charges []state.Charge, now time.Time) {
	v, err := s.Spend(r.Context(), who, name, charges)
	if err != nil {
		r.Fatal(err)
	}
	m.costs[name] = charges
	if m.known(name, now) || m.told[name].After(now) {
		if !v.OK {
			r.Fatalf("refused what was taken already: %+v", v)
		}
		return
	}
	m.today(now)
	rate, quota := time.Duration(charges[0].Cost)*time.Hour, charges[2].Cost
	want := m.debt+rate <= machineBurst*time.Hour && m.live(now) < machineSlots && m.total+quota <= machineTotal && m.day+quota <= machineDay
	if v.OK != want {
		r.Fatalf("%+v with debt %v, %d slots, %d in total, %d today: want %v", v, m.debt, m.live(now), m.total, m.day, want)
	}
	m.made[name] = v
	if want {
		m.debt, m.total, m.day = m.debt+rate, m.total+quota, m.day+quota
		m.slots[name], m.open[name] = now.Add(state.SlotLife), now.Add(state.OpenLife)
	}
}

func (m *ledger) settle(r *rapid.T, s state.Store, who, name string, spent int64, unheard bool, now time.Time) {
	charges := m.costs[name]
	amounts := settled(who, name, m.made[name], charges, spent, 0, spent, spent)
	amounts.Unheard = unheard
	if err := s.Settle(r.Context(), []state.Settlement{amounts}); err != nil {
		r.Fatal(err)
	}
	open := m.known(name, now)
	if m.told[name].After(now) || !open && !unheard {
		return
	}
	m.today(now)
	delta := spent
	if open {
		delta -= charges[2].Cost
		m.debt = max(m.debt+time.Duration(spent-charges[0].Cost)*time.Hour, 0)
	}
	m.total = max(m.total+delta, 0)
	if m.made[name].Balances[3].Start.Equal(m.start) {
		m.day = max(m.day+delta, 0)
	}
	delete(m.open, name)
	delete(m.slots, name)
	if unheard {
		m.told[name] = now.Add(state.OpenLife)
	}
}

func (m *ledger) renew(name string, now time.Time) {
	if m.known(name, now) {
		m.open[name], m.slots[name] = now.Add(state.OpenLife), now.Add(state.SlotLife)
	}
}

func (m *ledger) check(r *rapid.T, s state.Store, who string, now time.Time) {
	v, err := s.Spend(r.Context(), who, "", machineCharges(0, 0))
	if err != nil {
		r.Fatal(err)
	}
	m.today(now)
	want := []int64{0, max(machineSlots-m.live(now), 0), max(machineTotal-m.total, 0), max(machineDay-m.day, 0)}
	want[0] = perHour(machineBurst, 0).Rate.Units(machineBurst*time.Hour - m.debt)
	for i, b := range v.Balances {
		if b.Left != want[i] {
			r.Fatalf("%s: %d left, want %d (debt %v)", b.Limit, b.Left, want[i], m.debt)
		}
	}
}
