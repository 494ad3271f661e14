// Package admission decides whether a client may spend, before anything goes upstream. Its charges are taken in the
// shared state, all or none, so that a limit holds for all replicas together.
//
// When that state cannot answer, the limits go on here at their share, the limit divided by the replicas last seen: a
// proxy that refuses everybody is worse than one whose limits are roughly right for a while, and one that admits
// everybody has no limits. Each such decision is counted, and an outage is logged when it begins and when it ends.
//
// What is charged is a number of requests, which is known in advance. So a permit needs no settling, and a request that
// fails later has still been made.
package admission

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"openai-api-proxy/pkg/openai"
	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
)

// buckets is all that admission needs of the shared state.
type buckets interface {
	Spend(ctx context.Context, subject string, charges []state.Charge) (state.Verdict, error)
}

// Options are the settings of an Admission.
type Options struct {
	// Replicas is how many replicas were last seen, this one included; nil or less than 1: one. It is asked during
	// outages of the shared state only, by many goroutines at once.
	Replicas func() int
	Log      *slog.Logger
	Metrics  prometheus.Registerer
}

// Admission admits clients.
type Admission struct {
	store    buckets
	replicas func() int
	local    *local
	outage   *outage
	metrics  *metrics
}

// New makes an Admission whose limits are kept in store.
func New(store buckets, o Options) *Admission {
	if o.Replicas == nil {
		o.Replicas = func() int { return 1 }
	}
	return &Admission{store: store, replicas: o.Replicas, local: newLocal(), outage: &outage{log: o.Log},
		metrics: newMetrics(o.Metrics)}
}

// requests names the limit of requests per minute, in the store too.
const requests = "rpm"

// Admit charges the client's limits for one request. The error is a *proxy.Fault, RateLimited when a limit is reached;
// the permit then tells how the limits stand, as it does when there is none. A client without limits costs nothing.
//
// The estimate is what the request will probably use. Requests are counted whatever they use, so it has no weight for a
// client that is limited by requests only.
func (a *Admission) Admit(ctx context.Context, client *proxy.Client, _ openai.Usage) (*Permit, error) {
	if client.RPM == 0 {
		a.metrics.admitted.Inc()
		return &Permit{}, nil
	}
	charge := state.Charge{Limit: requests, Cost: 1,
		Rate: state.Rate{Count: client.RPM, Per: time.Minute, Burst: client.Burst}}
	v, err := a.spend(ctx, "c:"+client.ID, charge)
	if err != nil {
		return nil, err
	}
	permit := &Permit{perMinute: client.RPM, requests: v.Balances[0]}
	if !v.OK {
		a.metrics.refused.Inc()
		return permit, refusal(client, v.RetryAfter)
	}
	a.metrics.admitted.Inc()
	return permit, nil
}

// spend takes the charge in the store, or from this replica's share when the store cannot answer.
func (a *Admission) spend(ctx context.Context, subject string, charge state.Charge) (state.Verdict, error) {
	v, err := a.store.Spend(ctx, subject, []state.Charge{charge})
	switch {
	case err == nil:
		a.outage.answered()
		return v, nil
	case ctx.Err() != nil:
		// Says nothing about the store: it was the caller who did not wait.
		return state.Verdict{}, &proxy.Fault{Kind: proxy.CallerLeft, Public: "the caller went away", Err: err}
	case errors.Is(err, state.ErrUnavailable):
		a.metrics.undecided.Inc()
		a.outage.failed(err)
		return a.local.spend(time.Now(), subject, charge, a.replicas()), nil
	default:
		return state.Verdict{}, &proxy.Fault{Kind: proxy.Internal, Public: "internal error", Err: err}
	}
}

func refusal(client *proxy.Client, wait time.Duration) *proxy.Fault {
	f := proxy.Faultf(proxy.RateLimited, "rate limit of %d requests per minute reached; try again in %s",
		client.RPM, milliseconds(wait))
	f.RetryAfter = wait
	return f
}
