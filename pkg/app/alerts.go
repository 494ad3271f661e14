package app

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"openai-api-proxy/pkg/admin"
	"openai-api-proxy/pkg/admission"
	"openai-api-proxy/pkg/alert"
	"openai-api-proxy/pkg/balancer"
	"openai-api-proxy/pkg/proxy"
)

// standings is what alerts are made of: how keys are, and how quotas stand. Its caller looks at the keys first.
type standings struct {
	keys    *balancer.Balancer
	permits *admission.Admission
	seen    []balancer.KeyState // in this look
}

// newWatch makes the part that tells operators.
func (a *App) newWatch(permits *admission.Admission, metrics *prometheus.Registry) *alert.Watch {
	s := &standings{keys: a.keys, permits: permits}
	w := alert.New(alert.Options{Store: a.store, Ready: a.live.met.Load, Settings: a.alertSettings, Keys: s.keyStates, Quotas: s.quotas,
		Replica: a.replicaID(), Log: a.log, Metrics: metrics})
	a.onStop("alerts", w.Close)
	return w
}

func (a *App) alertSettings() alert.Settings {
	now := a.catalog.Current().Base.Alerts
	return alert.Settings{Shares: now.Shares, Webhook: now.Webhook}
}

// alerting is what operators may see of it.
func (a *App) alerting() admin.Alerting {
	now := a.catalog.Current().Base.Alerts
	return admin.Alerting{Shares: now.List(), Webhook: !now.Webhook.IsZero()}
}

// tryWebhook calls the webhook for a test.
func (a *App) tryWebhook(ctx context.Context) error {
	err := a.alerts.TryWebhook(ctx)
	if errors.Is(err, alert.ErrNoWebhook) {
		return &proxy.Fault{Kind: proxy.Conflict, Public: "no webhook is configured: set ALERT_WEBHOOK_URL, or alerts.webhook in the file"}
	}
	return err
}

// usable reports whether a key in such a state is picked.
func usable(state string) bool {
	switch state {
	case balancer.Disabled, string(proxy.Cooling), string(proxy.Open), string(proxy.Exhausted), string(proxy.Invalid):
		return false
	}
	return true
}

func (s *standings) keyStates() iter.Seq[alert.Key] {
	s.seen = s.keys.States()
	return func(yield func(alert.Key) bool) {
		for i := range s.seen {
			k := &s.seen[i]
			is := alert.Key{ID: k.Key.ID, Pool: k.Key.Pool, State: proxy.Reason(k.State), Usable: usable(k.State), Proving: k.State == balancer.HalfOpen,
				// What the upstream said of credit has a time; a quota that is used up says when it begins anew.
				Spent: k.Since.IsZero()}
			if !yield(is) {
				return
			}
		}
	}
}

// quotas are those of clients that asked lately, and of all keys and accounts.
func (s *standings) quotas(ctx context.Context) (all []alert.Quota) {
	for _, q := range s.permits.Stirred(ctx) {
		all = append(all, alert.Quota{Of: alert.OfClient, ID: q.Client.ID, Limit: q.Limit, Budget: q.Budget, Used: q.Used, Start: q.Start,
			Resets: q.Resets, Refused: q.Refused})
	}
	accounts := map[string]bool{}
	for i := range s.seen {
		k := &s.seen[i]
		all = appendQuotas(all, alert.OfKey, k.Key.ID, k.Limits)
		if len(k.OfAccount) > 0 && !accounts[k.Key.Account] {
			accounts[k.Key.Account] = true
			all = appendQuotas(all, alert.OfAccount, k.Key.Account, k.OfAccount)
		}
	}
	return all
}

// appendQuotas appends the quotas among the limits of a key or an account.
func appendQuotas(all []alert.Quota, of alert.Subject, id string, limits []balancer.Standing) []alert.Quota {
	for _, l := range limits {
		if l.Period == "" {
			continue
		}
		q := alert.Quota{Of: of, ID: id, Limit: l.Limit, Used: l.Most - l.Left, Resets: l.Resets,
			Budget: proxy.Budget{Measure: l.Measure, Limit: l.Most, Period: l.Period}}
		if !l.Resets.IsZero() { // a moment within the period, whatever the clocks say
			q.Start = l.Period.Start(l.Resets.Add(-time.Second))
		}
		all = append(all, q)
	}
	return all
}
