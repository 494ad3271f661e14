package alert

import (
	"context"
	"time"

	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
)

// owed is a share that was reached, and that nobody was asked about yet.
type owed struct {
	alert  Alert
	until  time.Time
	life   time.Duration
	token  string
	logged bool
}

// read notes which shares of quotas were reached.
func (w *Watch) read(ctx context.Context, now time.Time) {
	if w.looks%adoptEvery == 1 || len(w.known) > mostKnown {
		for name, until := range w.known {
			if now.After(until) || len(w.known) > mostKnown {
				delete(w.known, name)
			}
		}
	}
	shares := w.Settings().Shares
	for _, q := range w.Quotas(ctx) {
		if q.Budget.Period == proxy.Minute { // a rate: it is reached every minute
			continue
		}
		for _, share := range shares {
			if !q.has(share) {
				continue
			}
			name, life := q.name(share), longestPeriod
			if !q.Resets.IsZero() {
				life = max(q.Resets.Sub(now), 0) + extra
			}
			if _, known := w.known[name]; known || w.owed[name] != nil || len(w.owed) >= mostKnown {
				continue
			}
			w.owed[name] = &owed{alert: q.alert(share), life: life, until: now.Add(life), token: w.token()}
		}
	}
}

// share tells of a share of a quota, if nobody did. It reports whether the state answered.
func (w *Watch) share(ctx context.Context, name string, o *owed, now time.Time, away bool) bool {
	if now.After(o.until) {
		delete(w.owed, name)
		return !away
	}
	a := w.complete(o.alert, o.token, now)
	first, err := false, error(state.ErrUnavailable)
	if !away {
		first, err = w.Store.Tell(ctx, state.Alert{Name: name, Text: text(a)}, o.token, o.life)
	}
	if err != nil {
		w.alone(a, &o.logged, err)
		return false
	}
	delete(w.owed, name)
	w.known[name] = o.until
	if first {
		w.tell(a)
	}
	return true
}
