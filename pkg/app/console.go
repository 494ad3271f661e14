package app

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/ulule/limiter/v3"

	"openai-api-proxy/pkg/admin"
	"openai-api-proxy/pkg/admission"
	"openai-api-proxy/pkg/auth"
	"openai-api-proxy/pkg/edge"
)

// consoleRate is how many requests to the management API an address may make in a minute.
const consoleRate = 600

// console makes the operators' surface. counted is the store of failed authentications, which keeps these windows apart.
func (a *App) console(permits *admission.Admission, owners *auth.Owners, counted limiter.Store,
	metrics *prometheus.Registry) *admin.API {
	return admin.New(admin.Options{Gate: a.operators, Catalog: a.catalog, Keys: a.keys, Usage: a.meter, Quotas: permits, Owners: owners, Limiter: counted,
		Rate:    limiter.Rate{Period: time.Minute, Limit: consoleRate},
		Replica: a.describe, Fleet: a.Replicas, Refresh: a.Refresh, Degraded: a.degradedSince, Fixed: a.fixed, Metrics: metrics,
		Alerts: a.store.Told, Alerting: a.alerting, TryWebhook: a.tryWebhook,
		OpenMetrics: a.cfg.AdminAddr != "" && a.cfg.MetricsToken.IsZero(), ClientAddr: a.edge.ClientAddr, Fail: edge.Fail, Log: a.log})
}
