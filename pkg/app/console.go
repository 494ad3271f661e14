package app

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/ulule/limiter/v3"

	"openai-api-proxy/pkg/admin"
	"openai-api-proxy/pkg/edge"
	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/usage"
)

// consoleRate is how many requests to the management API an address may make in a minute.
const consoleRate = 600

// console makes the operators' surface. counted is the store of failed authentications, which keeps these windows apart.
func (a *App) console(meter *usage.Meter, counted limiter.Store, metrics *prometheus.Registry) *admin.API {
	return admin.New(admin.Options{Gate: a.operators, Catalog: a.catalog, Keys: a.keys, Usage: meter, Limiter: counted,
		Rate:    limiter.Rate{Period: time.Minute, Limit: consoleRate},
		Replica: a.describe, Fleet: a.Replicas, Refresh: a.Refresh, Degraded: a.degradedSince, Fixed: a.fixed, Metrics: metrics,
		OpenMetrics: a.cfg.AdminAddr != "" && a.cfg.MetricsToken.IsZero(), ClientAddr: a.edge.ClientAddr, Fail: edge.Fail, Log: a.log})
}

// degradedSince is since when the shared state has not answered; zero: it does.
func (a *App) degradedSince() time.Time {
	if a.fleet == nil {
		return time.Time{}
	}
	return a.fleet.DegradedSince()
}

// fixed is what needs a restart, as operators may see it. A secret says only whether it is set.
func (a *App) fixed() []admin.Fixed {
	c := a.cfg
	var all []admin.Fixed
	add := func(name string, value any, usual bool) {
		source := "environment"
		if usual {
			source = "default"
		}
		all = append(all, admin.Fixed{Name: name, Value: value, Source: source})
	}
	secret := func(name string, s proxy.Secret) { add(name, set(!s.IsZero()), s.IsZero()) }
	add("LISTEN_ADDR", c.Listen, c.Listen == ":10000")
	add("ADMIN_ADDR", c.AdminAddr, c.AdminAddr == "")
	secret("REDIS_URL", c.RedisURL)
	add("REDIS_PREFIX", c.RedisPrefix, c.RedisPrefix == "oap")
	add("REQUIRE_REDIS", c.RequireRedis, !c.RequireRedis)
	add("DATA_DIR", c.DataDir, c.DataDir == "data")
	add("ENCRYPTION_KEY", set(len(c.EncryptionKeys) > 0), len(c.EncryptionKeys) == 0)
	add("TRUSTED_PROXIES", c.TrustedProxies, len(c.TrustedProxies) == 0)
	add("CORS_ORIGINS", c.CORSOrigins, len(c.CORSOrigins) == 1 && c.CORSOrigins[0] == "*")
	add("DRAIN_TIMEOUT", c.DrainTimeout.String(), c.DrainTimeout == 30*time.Second)
	add("MAX_BODY_BYTES", c.MaxBodyBytes, c.MaxBodyBytes == 512<<20)
	add("STREAM_IDLE_TIMEOUT", c.StreamIdleTimeout.String(), c.StreamIdleTimeout == 5*time.Minute)
	return all
}

func set(yes bool) string {
	if yes {
		return "set"
	}
	return "not set"
}
