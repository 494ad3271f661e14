package config

import (
	"reflect"

	"openai-api-proxy/pkg/proxy"
)

// FixedSetting is a setting that cannot change while the proxy runs.
type FixedSetting struct {
	Name    string // of its variable
	Value   any    // what operators may see of it
	Default bool   // it is what holds without the variable
}

// Fixed lists the settings that cannot change while the proxy runs. Of secrets it only tells whether they are set.
func (c *Config) Fixed() []FixedSetting {
	usual := new(Config)
	for _, v := range variables {
		if v.set != nil && v.fallback != "" {
			_ = v.set(usual, v.fallback) // Load goes through the same
		}
	}
	mine, theirs := c.fixed(), usual.fixed()
	all := make([]FixedSetting, len(mine))
	for i, s := range mine {
		all[i] = FixedSetting{s.name, shown(s.value), reflect.DeepEqual(s.value, theirs[i].value)}
	}
	return all
}

// Pending names the settings in which c differs from what the proxy was started with and which need a restart.
func (c *Config) Pending(started *Config) (names []string) {
	before := started.fixed()
	for i, s := range c.fixed() {
		if !reflect.DeepEqual(s.value, before[i].value) {
			names = append(names, s.name)
		}
	}
	return names
}

type fixedSetting struct {
	name  string
	value any
}

func (c *Config) fixed() []fixedSetting {
	return []fixedSetting{
		{"LISTEN_ADDR", c.Listen}, {"ADMIN_ADDR", c.AdminAddr}, {"REDIS_URL", c.RedisURL}, {"REDIS_PREFIX", c.RedisPrefix},
		{"REQUIRE_REDIS", c.RequireRedis}, {"DATA_DIR", c.DataDir}, {"ENCRYPTION_KEY", c.EncryptionKeys},
		{"TRUSTED_PROXIES", c.TrustedProxies}, {"CORS_ORIGINS", c.CORSOrigins}, {"DRAIN_TIMEOUT", c.DrainTimeout}, {"DRAIN_DELAY", c.DrainDelay},
		{"STREAM_IDLE_TIMEOUT", c.StreamIdleTimeout}, {"UPSTREAM_HTTP", c.UpstreamHTTP}, {"MAX_BODY_BYTES", c.MaxBodyBytes},
		{"REQUEST_LOG_BODIES", c.RequestLogBodies}, {"REQUESTS_KEPT", c.RequestsKept}, {"OTEL_EXPORTER_OTLP_ENDPOINT", c.TraceEndpoint},
		{"OTEL_EXPORTER_OTLP_HEADERS", c.TraceHeaders}, {"LOG_LEVEL", c.LogLevel}, {"LOG_FORMAT", c.LogFormat},
	}
}

// shown is a value as JSON shows it to operators.
func shown(value any) any {
	switch v := value.(type) {
	case proxy.Secret:
		return isSet(!v.IsZero())
	case []proxy.Secret:
		return isSet(len(v) > 0)
	case interface{ String() string }:
		return v.String()
	default:
		return value
	}
}

func isSet(yes bool) string {
	if yes {
		return "set"
	}
	return "not set"
}
