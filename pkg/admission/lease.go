package admission

import (
	"math"
	"sync"
	"time"

	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
)

const (
	// leaseLife is how long a block is served from. What was admitted in any span is at most what the limits allow in one
	// that is longer by this.
	leaseLife = time.Second
	// hotRate is the requests a second, of a client in this replica, from which it is given blocks.
	hotRate = 50
	// spare is how many blocks for each replica must be left of a limit: near its end requests are taken one by one, since a
	// block that one replica holds would be refused to the others.
	spare = 4
	// sweepEvery is how often leases are looked at that nobody asks for any more.
	sweepEvery = 200 * time.Millisecond
)

// leases are blocks of charges, of about a second of traffic, that hot clients are served from without asking the shared
// state. A block is taken whole and what is not used of it is given back at its end; the limits are never exceeded by it.
// It is an ordinary reservation: a replica that dies leaves at most a second of traffic charged that was not used.
type leases struct {
	replicas func() int
	tell     func(state.Settlement)

	mu      sync.Mutex // guards the rest
	clients map[string]*traffic
	ended   map[*lease]struct{} // whose permits are not all settled
}

// traffic is what a client asked of this replica lately, in whole seconds.
type traffic struct {
	client   *proxy.Client
	since    time.Time // of the present second
	requests int64
	costs    []int64 // by charge
	before   []int64 // block of the second before; nil: it was not hot
	left     []int64 // of each limit, as it was last known
	lease    *lease  // nil: none
	asking   bool
	calm     time.Time // no block is asked for before
}

// lease is one block.
type lease struct {
	subject, name string
	charges       []state.Charge
	balances      []state.Balance // of the limits, with the block taken
	left          []int64         // of the block
	until         time.Time
	live          int64   // permits to be settled
	owed          []int64 // what settled ones used beyond their estimates
	told          time.Time
}

func newLeases(replicas func() int, tell func(state.Settlement)) *leases {
	return &leases{replicas: replicas, tell: tell, clients: map[string]*traffic{}, ended: map[*lease]struct{}{}}
}

// leasable reports whether a client may be served from blocks: slots are held one by one, and a strict client would have
// upper bounds lie idle.
func leasable(c *proxy.Client) bool { return !c.Strict && c.Concurrency == 0 }

// take serves the permit from the lease of its client, if there is one. If it pays to have one, it returns the block to
// ask for, and answer must follow.
func (ls *leases) take(p *Permit, now time.Time) (taken bool, block []state.Charge) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	t := ls.trafficLocked(p, now)
	t.requests++
	for i, c := range p.charges {
		t.costs[i] += c.Cost
	}
	if t.lease != nil && (!now.Before(t.lease.until) || !t.lease.affords(p)) {
		ls.endLocked(t)
	}
	if t.lease != nil {
		t.lease.serve(p)
		return true, nil
	}
	if block = t.block(p, int64(max(ls.replicas(), 1))); block == nil || t.asking || now.Before(t.calm) {
		return false, nil
	}
	t.asking = true
	return false, block
}

// trafficLocked is that of the permit's client, in the present second.
func (ls *leases) trafficLocked(p *Permit, now time.Time) *traffic {
	t := ls.clients[p.subject]
	if t != nil && t.client != p.client { // configured anew
		ls.endLocked(t)
		t = nil
	}
	if t == nil {
		t = &traffic{client: p.client, since: now, costs: make([]int64, len(p.charges))}
		ls.clients[p.subject] = t
	}
	if age := now.Sub(t.since); age >= leaseLife {
		t.before = nil
		if float64(t.requests)/age.Seconds() >= hotRate {
			t.before = make([]int64, len(t.costs))
			for i, sum := range t.costs {
				t.before[i] = int64(math.Ceil(float64(sum) / age.Seconds()))
			}
		}
		t.since, t.requests = now, 0
		clear(t.costs)
	}
	return t
}

// block is what to ask for, or nil when the client is not hot or one of its limits is near its end.
func (t *traffic) block(p *Permit, replicas int64) []state.Charge {
	if t.before == nil || t.left == nil {
		return nil
	}
	block := make([]state.Charge, len(p.charges))
	for i, c := range p.charges {
		c.Cost = max(c.Cost, t.before[i])
		if c.Cost > t.left[i]/(spare*replicas) {
			return nil
		}
		block[i] = c
	}
	return block
}

// see notes what is left of the limits.
func (ls *leases) see(p *Permit, balances []state.Balance) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	t := ls.clients[p.subject]
	if t == nil || t.client != p.client {
		return
	}
	if t.left == nil {
		t.left = make([]int64, len(balances))
	}
	for i, b := range balances {
		t.left[i] = b.Left
	}
}

// answer is what became of a block that was asked for from begin on. With ok it serves the permit.
func (ls *leases) answer(p *Permit, name string, block []state.Charge, v state.Verdict, ok bool, begin time.Time) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	t := ls.clients[p.subject]
	known := t != nil && t.client == p.client
	if known {
		t.asking = false
	}
	if !ok {
		if known {
			t.calm = begin.Add(leaseLife)
		}
		return
	}
	l := &lease{subject: p.subject, name: name, charges: block, balances: v.Balances, left: make([]int64, len(block)),
		owed: make([]int64, len(block)), until: begin.Add(leaseLife), told: begin}
	for i, c := range block {
		l.left[i] = c.Cost
		if b := v.Balances[i]; c.Rate.Count == 0 && b.Reset >= 0 && begin.Add(b.Reset).Before(l.until) {
			l.until = begin.Add(b.Reset) // what is left of a period cannot be spent in the next
		}
	}
	l.serve(p)
	if !known {
		t = &traffic{lease: l} // ended at once
		ls.endLocked(t)
		return
	}
	for i, b := range v.Balances {
		t.left[i] = b.Left
	}
	t.lease = l
}

func (l *lease) affords(p *Permit) bool {
	for i, c := range p.charges {
		if c.Cost > l.left[i] {
			return false
		}
	}
	return true
}

func (l *lease) serve(p *Permit) {
	p.balances = p.balanceRoom[:0]
	for i, c := range p.charges {
		l.left[i] -= c.Cost
		b := l.balances[i]
		b.Left += l.left[i]
		p.balances = append(p.balances, b)
	}
	p.lease = l
	if p.needsSettling() {
		l.live++
	}
}

// endLocked gives back what is left of a lease.
func (ls *leases) endLocked(t *traffic) {
	l := t.lease
	if l == nil {
		return
	}
	t.lease = nil
	s := state.Settlement{Subject: l.subject, Reservation: l.name}
	for i, c := range l.charges {
		s.Amounts = append(s.Amounts, state.Spending{Charge: c, Start: l.balances[i].Start, Spent: c.Cost - l.left[i]})
		if t.left != nil {
			t.left[i] += l.left[i]
		}
	}
	ls.tell(s)
	ls.ended[l] = struct{}{}
}

// settle notes what a permit used beyond its estimate; it is told with that of others.
func (ls *leases) settle(p *Permit, spent func(state.Charge) int64) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	p.lease.live--
	for i, c := range p.charges {
		p.lease.owed[i] += spent(c) - c.Cost
	}
}

// sweep ends leases whose time is over, and tells what their permits used beyond their estimates: once a second, and when
// the last one is settled. With all of them it ends those that run too.
func (ls *leases) sweep(now time.Time, all bool) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	for subject, t := range ls.clients {
		if t.lease != nil && (all || !now.Before(t.lease.until)) {
			ls.endLocked(t)
		}
		if t.lease == nil && !t.asking && now.Sub(t.since) > 2*leaseLife {
			delete(ls.clients, subject)
		}
	}
	for l := range ls.ended {
		if all || l.live == 0 || now.Sub(l.told) >= leaseLife {
			ls.correctLocked(l, now)
		}
		if l.live == 0 || all {
			delete(ls.ended, l)
		}
	}
}

func (ls *leases) correctLocked(l *lease, now time.Time) {
	s := state.Settlement{Subject: l.subject, Reservation: l.name + "+" + now.Sub(l.until).String(), Apart: true}
	for i, owed := range l.owed {
		if c := l.charges[i]; owed != 0 {
			c.Cost = 0
			s.Amounts = append(s.Amounts, state.Spending{Charge: c, Start: l.balances[i].Start, Spent: owed})
		}
	}
	l.told = now
	clear(l.owed)
	if len(s.Amounts) > 0 {
		ls.tell(s)
	}
}
