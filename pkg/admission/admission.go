// Package admission decides whether a client may spend, before anything goes upstream. All limits of a client, its rates,
// its quotas and its slots, are taken in the shared state by one call, all or none, so that they hold for all replicas
// together.
//
// Tokens and money are not known beforehand. What is charged at first is an estimate (soft) or an upper bound (strict); see
// Ask. The Permit is settled with the truth when the request has ended, in the background: nobody waits for it, and it is
// told again until it was heard, which changes nothing the second time. A replica that dies with open permits leaves them
// charged as they were, and its slots free themselves.
//
// A soft client that is hot is lent a second of its traffic at a time (lease.go), so that it costs the shared state about a
// call a second and not one for each request.
//
// When the shared state cannot answer, rates and slots go on here at their share, the limit divided by the replicas last
// seen: a proxy that refuses everybody is worse than one whose limits are roughly right for a while, and one that admits
// everybody has no limits. Quotas have no share; each client says what becomes of it (AllowUncounted). Each such decision
// is counted, and an outage is logged when it begins and when it ends.
package admission

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"math"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
)

// buckets is all that admission needs of the shared state.
type buckets interface {
	Spend(ctx context.Context, subject, reservation string, charges []state.Charge) (state.Verdict, error)
	Settle(ctx context.Context, settlements []state.Settlement) error
	Renew(ctx context.Context, held []state.Held) error
}

// Options are the settings of an Admission.
type Options struct {
	// Replicas is how many replicas were last seen, this one included; nil or less than 1: one. It is asked during
	// outages of the shared state only, by many goroutines at once.
	Replicas func() int
	// Lease serves hot clients from blocks of about a second of traffic, which saves trips to a shared state that is not in
	// this process.
	Lease   bool
	Log     *slog.Logger
	Metrics prometheus.Registerer
}

// Admission admits clients. Close ends its goroutine.
type Admission struct {
	store    buckets
	replicas func() int
	log      *slog.Logger
	local    *local
	outage   *outage
	refusals *refusals
	outputs  *outputs
	teller   *teller
	stirred  *stirred
	leases   *leases // nil: none are taken
	metrics  *metrics

	epoch    string        // of this replica: with a number behind it the name of a reservation
	reserved atomic.Uint64 // reservations so far
}

// New makes an Admission whose limits are kept in store. It is to be closed before the store.
func New(store buckets, o Options) *Admission {
	if o.Replicas == nil {
		o.Replicas = func() int { return 1 }
	}
	a := &Admission{store: store, replicas: o.Replicas, log: o.Log, local: newLocal(), outage: &outage{log: o.Log},
		refusals: newRefusals(), outputs: newOutputs(), stirred: newStirred(), epoch: newEpoch()}
	a.teller = newTeller(store, o.Log, a.refusals.forget)
	a.metrics = newMetrics(o.Metrics, a.teller)
	sweep := func(time.Time) {}
	if o.Lease {
		a.leases = newLeases(o.Replicas, a.teller.tell)
		sweep = func(now time.Time) { a.leases.sweep(now, false) }
	}
	a.teller.begin(a.metrics, sweep)
	return a
}

// Close tells what is still to be told, for a few seconds at most. Nobody may be admitted meanwhile, or later.
func (a *Admission) Close() error {
	if a.leases != nil {
		a.leases.sweep(time.Now(), true)
	}
	return a.teller.close()
}

// Admit charges the client's limits for one request. The error is a *proxy.Fault; the permit then tells how the limits
// stand, as it does when there is none. A permit without an error must be settled once, whatever becomes of the request.
// A client without limits costs nothing.
func (a *Admission) Admit(ctx context.Context, client *proxy.Client, ask Ask) (*Permit, error) {
	p := &Permit{admission: a, client: client, model: ask.Head.Model}
	if ask.Op.Socket {
		kept := ask // alone on the heap
		p.ask = &kept
	}
	if client.RPM == 0 && client.TPM == 0 && client.Concurrency == 0 && len(client.Quota) == 0 {
		a.metrics.admitted.Inc()
		return p, nil
	}
	if err := a.estimate(p, ask); err != nil {
		a.metrics.refuse(unestimated(err))
		return p, err
	}
	p.subject, p.charges = "c:"+client.ID, chargesOf(p.chargeRoom[:0], client, p.expected)
	limit, err := a.take(ctx, p)
	if err != nil {
		if limit != "" {
			a.metrics.refuse(limit)
		}
		return p, err
	}
	a.metrics.admitted.Inc()
	if p.reservation != "" && !p.entered {
		a.teller.enter(p, math.MaxInt64)
	}
	return p, nil
}

// newEpoch is a name that no other replica has. It is so long because Redis walks past all members of a sorted set whenever it
// looks one up or adds it, as long as they are short and no more than 128, which the open reservations of a client are: names of
// more than 64 bytes make it keep a skip list, and a request that it decides about costs it a fifth less.
func newEpoch() string { return (rand.Text() + rand.Text() + rand.Text())[:64] }

func (a *Admission) newReservation() string {
	return a.epoch + "-" + strconv.FormatUint(a.reserved.Add(1), 36)
}

// take takes the charges in the store, or from this replica's share when the store cannot answer. With an error it says
// which limit refused, if one did.
func (a *Admission) take(ctx context.Context, p *Permit) (limit string, err error) {
	if limit, err := a.refusedBefore(p); err != nil || a.leased(ctx, p) {
		return limit, err
	}
	if p.needsSettling() {
		p.reservation = a.newReservation()
	}
	v, err := a.store.Spend(ctx, p.subject, p.reservation, p.charges)
	if err == nil && v.Refused == slots && a.teller.handover(ctx, p.subject) {
		v, err = a.store.Spend(ctx, p.subject, p.reservation, p.charges)
	}
	return a.taken(ctx, p, &v, err)
}

// refusedBefore refuses again what was refused a moment ago.
func (a *Admission) refusedBefore(p *Permit) (limit string, err error) {
	known, found := a.refusals.find(p, time.Now())
	if !found {
		return "", nil
	}
	p.balances = known.balances
	return known.limit, refusal(p, known)
}

// taken says what came of asking the store.
func (a *Admission) taken(ctx context.Context, p *Permit, v *state.Verdict, err error) (limit string, _ error) {
	switch {
	case err == nil:
		a.outage.answered()
		p.balances = v.Balances
		if a.leases != nil && !p.part {
			a.leases.see(p, v.Balances)
		}
		a.stirred.note(p, v.Balances, v.Refused)
		if v.OK {
			return "", nil
		}
		r := refused{limit: v.Refused, wait: v.RetryAfter, balances: v.Balances, since: time.Now()}
		a.refusals.note(p, r)
		return v.Refused, refusal(p, r)
	case ctx.Err() != nil:
		// Says nothing about the store: it was the caller who did not wait.
		a.withdraw(p, err)
		return "", &proxy.Fault{Kind: proxy.CallerLeft, Public: "the caller went away", Err: err}
	case errors.Is(err, state.ErrUnavailable):
		a.outage.failed(err)
		limit, fault := a.decide(p)
		if fault != nil {
			a.withdraw(p, err)
			return limit, fault
		}
		return "", nil
	default:
		return "", &proxy.Fault{Kind: proxy.Internal, Public: "internal error", Err: err}
	}
}

// leased serves the permit from a lease, or takes one. When that does not succeed the permit is charged by itself.
func (a *Admission) leased(ctx context.Context, p *Permit) bool {
	if a.leases == nil || !leasable(p.client) || p.part {
		return false
	}
	begin := time.Now()
	taken, block := a.leases.take(p, begin)
	if block != nil {
		name := a.newReservation()
		v, err := a.store.Spend(ctx, p.subject, name, block)
		if taken = err == nil && v.OK; err != nil {
			a.withdraw(&Permit{client: p.client, subject: p.subject, reservation: name, charges: block}, err)
		}
		a.leases.answer(p, name, block, v, taken, begin)
	}
	if !taken {
		return false
	}
	if p.needsSettling() {
		p.entered = true
		a.teller.reserved.Add(p.expected.tokens)
	}
	a.stirred.note(p, p.balances, "")
	return true
}

// withdraw gives back what may have been charged for a request that was not admitted.
func (a *Admission) withdraw(p *Permit, err error) {
	if p.reservation == "" || errors.Is(err, state.ErrUnsent) {
		return
	}
	p.unheard = true
	a.teller.tell(p.settlement(func(state.Charge) int64 { return 0 }))
}

// lossRetry is when a client comes back that was refused because its quotas could not be asked.
const lossRetry = 2 * time.Second

// decide admits without the shared state: rates and slots at this replica's share, quotas as the client says.
func (a *Admission) decide(p *Permit) (limit string, fault error) {
	if len(p.client.Quota) > 0 && !p.client.AllowUncounted {
		return "state", &proxy.Fault{Kind: proxy.LimitsUnknown, RetryAfter: lossRetry,
			Public: "the quota of this client cannot be checked at the moment; try again soon"}
	}
	replicas := max(a.replicas(), 1)
	if p.unheard = true; p.reservation == "" && len(p.client.Quota) > 0 {
		p.reservation = a.newReservation() // its requests are told of
	}
	most := int64(math.MaxInt64)
	if c := p.client.Concurrency; c > 0 && !p.part {
		most = max(c/int64(replicas), 1)
	}
	if p.reservation != "" && !a.teller.enter(p, most) {
		return slots, refusal(p, refused{limit: slots, wait: state.SlotWait})
	}
	a.metrics.undecided.Inc()
	v := a.local.spend(time.Now(), p.subject, p.charges, replicas, !p.client.Strict)
	p.balances = v.Balances
	if !v.OK {
		if p.entered {
			a.teller.leave(p)
		}
		return v.Refused, refusal(p, refused{limit: v.Refused, wait: v.RetryAfter})
	}
	if len(p.client.Quota) > 0 {
		a.metrics.unchecked.Inc()
	}
	return "", nil
}
