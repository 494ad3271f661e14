package config

import "reflect"

// Fixed names the settings in which c differs from what the proxy was started with and which cannot change while it runs.
func (c *Config) Fixed(started *Config) (names []string) {
	for _, f := range []struct {
		name       string
		now, start any
	}{
		{"LISTEN_ADDR", c.Listen, started.Listen}, {"ADMIN_ADDR", c.AdminAddr, started.AdminAddr},
		{"REDIS_URL", c.RedisURL, started.RedisURL}, {"REDIS_PREFIX", c.RedisPrefix, started.RedisPrefix},
		{"DATA_DIR", c.DataDir, started.DataDir}, {"ENCRYPTION_KEY", c.EncryptionKeys, started.EncryptionKeys},
		{"TRUSTED_PROXIES", c.TrustedProxies, started.TrustedProxies}, {"CORS_ORIGINS", c.CORSOrigins, started.CORSOrigins},
		{"DRAIN_TIMEOUT", c.DrainTimeout, started.DrainTimeout}, {"MAX_BODY_BYTES", c.MaxBodyBytes, started.MaxBodyBytes},
		{"REQUEST_LOG_BODIES", c.RequestLogBodies, started.RequestLogBodies},
		{"STREAM_IDLE_TIMEOUT", c.StreamIdleTimeout, started.StreamIdleTimeout},
		{"LOG_LEVEL", c.LogLevel, started.LogLevel}, {"LOG_FORMAT", c.LogFormat, started.LogFormat},
	} {
		if !reflect.DeepEqual(f.now, f.start) {
			names = append(names, f.name)
		}
	}
	return names
}
