// Package config holds the one settings tree of the proxy and reads it from the environment and a file.
//
// Both are read whole before anything is judged, and every mistake is reported at once, with its place: an operator
// mends a configuration in one go, not in as many as it has mistakes. What is not understood is a mistake: a limit that
// is accepted is enforced.
//
// No mistake and no warning repeats a text that was set. A key pasted into the wrong field would otherwise end up in a
// log.
package config

import (
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"time"

	"openai-api-proxy/pkg/price"
	"openai-api-proxy/pkg/proxy"
)

// Config is everything that can be set. Load makes it; nobody changes it afterwards.
type Config struct {
	// Listen is the host:port for callers, from LISTEN_ADDR, or from PORT on all addresses. Default ":10000". Port 0 is
	// any free one. Behind a load balancer bind what it reaches; a loopback address there looks like a dead instance.
	Listen string
	// AdminAddr is a listener of its own for the management API and the metrics, from ADMIN_ADDR. Unset: they share
	// Listen. Metrics need no token there unless MetricsToken is set, so keep it off public networks.
	AdminAddr string
	// AdminToken opens the management API, at least 16 characters. Unset, it is made and kept in DataDir; without a
	// DataDir the management API stays closed. It is not a caller's token and must not be one.
	AdminToken proxy.Secret
	// MetricsToken opens the metrics only, for a scraper that should not hold AdminToken. Unset: only AdminToken does.
	MetricsToken proxy.Secret

	// BaseURL is the upstream origin, without the /v1, of keys that name none: OPENAI_BASE_URL. Default
	// https://api.openai.com. Plain http to a public host sends the keys readable over the network: a warning.
	BaseURL string
	// Keys are the upstream keys of all sources, sorted by id, at least one. The same key once, the file's entry before
	// that of OPENAI_API_KEYS before OPENAI_API_KEY; an id always names one key.
	Keys []*proxy.Key

	// Accounts are limits of what keys of one account use together, sorted by id. An account needs no entry: keys name it.
	Accounts []proxy.Account

	// Settings may be overridden while the proxy runs.
	Settings

	// Alerts is what operators are told without asking.
	Alerts Alerts

	// Clients are who may call, sorted by id. None: every enabled key is a caller's token too (the v1 way). The first
	// client ends that, so configure all callers at once.
	Clients []Client
	// Prices are what models cost, from the file's prices: before those that are part of the program, in no order. A cost is
	// what is said here, so a wrong one lets money limits be overrun, or refuses too early.
	Prices []price.Model
	// TrustedProxies are the addresses whose X-Forwarded-For is believed. Default none. A range that callers can send
	// from lets them choose their address, and so pass the ips of a client.
	TrustedProxies []netip.Prefix
	// CORSOrigins are the origins whose browser pages may call, or "*". Default "*". Credentials are never allowed, so
	// cookies open nothing; a token in a page is the page's own risk.
	CORSOrigins []string

	// MaxBodyBytes is the largest request body, from MAX_BODY_BYTES. Default 512 MiB. It costs no memory beyond
	// Limits.ReplayBytes; too small refuses uploads with 413.
	MaxBodyBytes int64
	// RequestLogBodies is how many bytes of each request and of each answer are remembered with the request, from
	// REQUEST_LOG_BODIES. Default 0: none, up to 64 KiB. Prompts and answers can then be read by operators, and by whoever
	// reads the state; live secrets in them are masked.
	RequestLogBodies int64
	// RequestsKept is about how many finished requests can be looked up, for at most 7 days, from REQUESTS_KEPT. Default
	// 250000. Each takes about 400 bytes of Redis: more of them need more memory there, or limits cannot be counted any more.
	// Replicas of one fleet should agree on it; the smallest number decides. Without Redis and DataDir it is at most 10000.
	RequestsKept int64
	// TraceEndpoint is the OpenTelemetry collector that is told how requests went, by OTLP over HTTP, from
	// OTEL_EXPORTER_OTLP_ENDPOINT. Default none: no traces, at no cost. Spans name clients, addresses and models, no content.
	TraceEndpoint string
	// TraceHeaders are sent to the collector with every message, from OTEL_EXPORTER_OTLP_HEADERS: name=value, comma list,
	// values percent-encoded. Default none. What lets us in there is a secret.
	TraceHeaders proxy.Secret
	// StreamIdleTimeout is the silence after which a stream counts as dead, from STREAM_IDLE_TIMEOUT. Default 5m. Too
	// short cuts models that think for long before they answer.
	StreamIdleTimeout time.Duration
	// UpstreamHTTP is "auto": HTTP/2 with upstreams that offer it, or "1.1", by which each answer that is under way has a TLS
	// connection to itself, which costs less processor time while few are. From UPSTREAM_HTTP. Default "auto".
	UpstreamHTTP string
	// DrainTimeout is how long streams may run on after a stop signal, from DRAIN_TIMEOUT. Default 30s. Keep it under the
	// pod's terminationGracePeriodSeconds, or they are cut off unsettled.
	DrainTimeout time.Duration
	// DrainDelay is how long a replica that was told to stop still takes requests, not ready any more, until every load
	// balancer has heard of it; from DRAIN_DELAY. Default 5s: more than two looks at /readyz. It comes before DrainTimeout.
	// Only with RedisURL: a single instance has nobody to hand over to, and stops taking requests at once.
	DrainDelay time.Duration

	// DataDir keeps embedded state, counters, the made admin token and the journal of finished requests, from DATA_DIR.
	// Default "data". Empty: memory only, and a restart forgets all of it; with Redis, what was not yet told there: 100 ms.
	// Two processes with embedded state cannot share one; with Redis they can.
	DataDir string
	// RedisURL names the shared state of several replicas, from REDIS_URL. Unset: embedded state, one instance.
	RedisURL proxy.Secret
	// RedisPrefix is the first part of every Redis key, from REDIS_PREFIX. Default "oap". Replicas of one fleet must
	// agree on it; two fleets on one Redis must not.
	RedisPrefix string
	// RequireRedis refuses to start without RedisURL, from REQUIRE_REDIS. Default false. Set it wherever there is more
	// than one replica, or a lost variable turns each into its own world.
	RequireRedis bool
	// EncryptionKeys are 32 bytes in base64 each, from ENCRYPTION_KEY: the first encrypts, all decrypt. Dropping one
	// that still encrypts something loses it.
	EncryptionKeys []proxy.Secret

	// LogLevel is the least level that is logged, from LOG_LEVEL. Default info.
	LogLevel slog.Level
	// LogFormat is "json", "text", or "": text on a terminal, json elsewhere, which the caller finds out. From LOG_FORMAT.
	LogFormat string

	// File is the path of the configuration file that was read, "" if there was none.
	File string
	// Files are the paths of all files that were read or looked for: a change of one of them may change the configuration.
	Files []string
	// Warnings are settings that work but probably not as meant, each with its place, in the order they were found.
	Warnings []string

	fingerprint string
}

// Client is a caller with its token.
type Client struct {
	proxy.Client
	Token  proxy.Secret
	Source string // where it was configured
}

// Load reads the configuration. Its error is a Mistakes with all mistakes, and then there is no Config.
func Load(src Source) (*Config, error) {
	l := &loader{cfg: &Config{Settings: DefaultSettings()}}
	l.src = src
	l.src.ReadFile = func(path string) ([]byte, error) {
		l.cfg.Files = append(l.cfg.Files, path)
		return src.ReadFile(path)
	}
	l.environment(variables)
	root := l.file()
	l.cfg.Settings.read(root)
	l.keys(root)
	l.accounts(root)
	l.clients(root)
	l.alerts(root)
	l.prices(root)
	root.end()
	l.agree()
	if len(l.mistakes) > 0 {
		l.mistakes.sort()
		return nil, l.mistakes
	}
	l.cfg.Warnings = l.warnings
	l.cfg.fingerprint = l.cfg.hash()
	return l.cfg, nil
}

// loader is a Config in the making.
type loader struct {
	src Source
	cfg *Config
	notes
	unread bool // there is a file, but it could not be read: nobody knows what is missing
}

// agree checks what two settings must agree on.
func (l *loader) agree() {
	c := l.cfg
	if c.AdminAddr != "" && c.AdminAddr == c.Listen && !strings.HasSuffix(c.Listen, ":0") {
		l.wrong(variableAt("ADMIN_ADDR"), "is the address that callers use; choose another port")
	}
	if c.RequireRedis && c.RedisURL.IsZero() {
		l.wrong(variableAt("REQUIRE_REDIS"), "is set, but REDIS_URL is not: each replica would be a world of its own")
	}
	if !c.AdminToken.IsZero() && c.AdminToken == c.MetricsToken {
		l.wrong(variableAt("METRICS_TOKEN"), "is ADMIN_TOKEN: whoever scrapes would be an operator; choose another")
	}
	if slices.ContainsFunc(c.Keys, func(k *proxy.Key) bool { return k.Secret == c.AdminToken }) {
		l.wrong(variableAt("ADMIN_TOKEN"), "is an upstream key, which callers may hold; choose another")
	}
	if slices.ContainsFunc(c.Clients, func(client Client) bool { return client.Token == c.AdminToken }) {
		l.wrong(variableAt("ADMIN_TOKEN"), "is a client's token: that client would be an operator; choose another")
	}
	l.doubt()
}

// doubt warns of what works, but probably not as meant.
func (l *loader) doubt() {
	c := l.cfg
	if exposed(c.BaseURL) {
		l.warn(variableAt("OPENAI_BASE_URL"), notEncrypted)
	}
	if !c.MetricsToken.IsZero() && len(c.MetricsToken.Reveal()) < leastToken {
		l.warn(variableAt("METRICS_TOKEN"), "is short enough to be guessed; make one with `openssl rand -hex 16`")
	}
	if len(c.Keys) > 0 && !slices.ContainsFunc(c.Keys, func(k *proxy.Key) bool { return k.Enabled }) {
		l.warnings = append(l.warnings, "every key is disabled, so every request will fail")
	}
	weighs := func(k *proxy.Key) bool { return k.Weight != 1 }
	if c.Strategy == "roundrobin" && slices.ContainsFunc(c.Keys, weighs) {
		l.warnings = append(l.warnings, "strategy roundrobin ignores the weights of the keys; weighted or random use them")
	}
}
