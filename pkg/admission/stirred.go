package admission

import (
	"context"
	"sync"
	"time"

	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
)

// Stand is how a quota of a client stood last, over all replicas.
type Stand struct {
	Client  *proxy.Client
	Limit   string // "tokens/month"
	Budget  proxy.Budget
	Used    int64 // with what is reserved for running requests
	Start   time.Time
	Resets  time.Time // zero: never
	Refused bool      // a request was refused for it
}

const (
	// stillAfter is how long a client must not have asked until its quotas are read once more: its last requests were settled
	// by then.
	stillAfter = 3 * time.Second
	// mostReread bounds the clients that are read at once.
	mostReread = 50
)

// stirred is how the quotas stood of clients that asked lately.
type stirred struct {
	mu sync.Mutex // guards of
	of map[string]*stir
}

type stir struct {
	client   *proxy.Client
	charges  []state.Charge
	balances []state.Balance
	refused  string
	at       time.Time
	fresh    bool // since Stirred was called last
}

func newStirred() *stirred { return &stirred{of: map[string]*stir{}} }

// note is on the path of every request of a client with quotas whose limits the store has told.
func (s *stirred) note(p *Permit, balances []state.Balance, refused string) {
	if len(p.client.Quota) == 0 {
		return
	}
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	is := s.of[p.client.ID]
	if is == nil {
		is = new(stir)
		s.of[p.client.ID] = is
	}
	if refused != "" || !is.fresh {
		is.refused = refused
	}
	is.client, is.charges, is.balances, is.at, is.fresh = p.client, p.charges, balances, now, true
}

// take returns what is fresh, and those clients that have been still for so long that they are to be read again.
func (s *stirred) take(now time.Time) (fresh, still []stir) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, is := range s.of {
		switch {
		case is.fresh:
			fresh = append(fresh, *is)
			is.fresh = false
		case now.Sub(is.at) >= stillAfter && len(still) < mostReread:
			still = append(still, *is)
			delete(s.of, id)
		}
	}
	return fresh, still
}

// Stirred tells how the quotas stand of clients that asked since the last call, and of those that have stopped asking for a
// moment, whose last requests are settled by now. It is not for the path of a request.
func (a *Admission) Stirred(ctx context.Context) (all []Stand) {
	fresh, still := a.stirred.take(time.Now())
	for i := range fresh {
		all = append(all, fresh[i].stands()...)
	}
	for i := range still {
		balances, err := a.Balances(ctx, still[i].client)
		if err != nil {
			break // the next request brings it back
		}
		for _, b := range balances {
			all = append(all, standOf(still[i].client, b))
		}
	}
	return all
}

// stands are those of the quotas.
func (is *stir) stands() (all []Stand) {
	for i, c := range is.charges {
		if c.Slots > 0 || c.Rate.Count > 0 || i >= len(is.balances) {
			continue
		}
		b := is.balances[i]
		s := Stand{Client: is.client, Limit: c.Limit, Start: b.Start, Refused: is.refused == c.Limit, Used: c.Quota.Limit - b.Left,
			Budget: proxy.Budget{Measure: measureOf(c), Limit: c.Quota.Limit, Period: c.Quota.Period}}
		if s.Budget.Period == proxy.Total {
			s.Start = time.Time{}
		} else if b.Reset >= 0 {
			s.Resets = c.Quota.End(b.Start)
		}
		all = append(all, s)
	}
	return all
}

// standOf is what was read of a quota.
func standOf(c *proxy.Client, b Balance) Stand {
	s := Stand{Client: c, Limit: quotaName(b.Measure, b.Period), Budget: b.Budget, Used: b.Used, Resets: b.Resets}
	if !b.Resets.IsZero() {
		zone := c.Zone
		if zone == nil {
			zone = time.UTC
		}
		s.Start = b.Period.StartIn(b.Resets.Add(-time.Second), zone) // a moment within the period, whatever the clocks say
	}
	return s
}
