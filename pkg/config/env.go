package config

import (
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"openai-api-proxy/pkg/proxy"
)

// Source is where settings come from: the process, or a test's own variables and files.
type Source struct {
	Env      func(name string) (value string, set bool)
	ReadFile func(path string) ([]byte, error)
	Dir      string // what relative paths are relative to; "": the working directory
}

// FromOS is the source of a real process.
func FromOS() Source { return Source{Env: os.LookupEnv, ReadFile: os.ReadFile} }

// read reads a file whose path may be relative.
func (s Source) read(path string) ([]byte, error) { return s.ReadFile(s.path(path)) }

func (s Source) path(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(s.Dir, path)
}

// unreadable says why a file cannot be read, without its path: a key pasted into OPENAI_API_KEY_FILE is one.
func unreadable(err error) string {
	var number syscall.Errno
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "the file does not exist"
	case errors.As(err, &number):
		return "the file cannot be read: " + number.Error()
	default:
		return "the file cannot be read"
	}
}

// variable is one environment variable.
type variable struct {
	name     string
	fallback string                      // what counts when it is not set, in its own notation
	set      func(*Config, string) error // nil: read elsewhere, as the comment says
}

const (
	day            = 24 * time.Hour
	mostBody       = 1 << 40
	mostKept       = 64 << 10
	fewestRequests = 1_000 // that can be looked up
	mostRequests   = 10_000_000
	defaultFile    = "config.multi.json"
)

// variables are all there are, in the order of .env.example and of reports. LISTEN_ADDR comes after PORT, which it
// overrides.
var variables = []variable{
	setting("PORT", "10000", func(c *Config) *string { return &c.Listen }, port),
	setting("LISTEN_ADDR", "", func(c *Config) *string { return &c.Listen }, address),
	{name: "OPENAI_API_KEY"},                     // keys.go
	{name: "OPENAI_API_KEYS"},                    // keys.go
	{name: "CONFIG_FILE", fallback: defaultFile}, // file.go
	setting("OPENAI_BASE_URL", "https://api.openai.com", func(c *Config) *string { return &c.BaseURL }, baseURL),
	setting("REDIS_URL", "", func(c *Config) *proxy.Secret { return &c.RedisURL }, redisURL),
	setting("REDIS_PREFIX", "oap", func(c *Config) *string { return &c.RedisPrefix }, identifier),
	setting("REQUIRE_REDIS", "false", func(c *Config) *bool { return &c.RequireRedis }, boolean),
	setting("DATA_DIR", "data", func(c *Config) *string { return &c.DataDir }, anyText),
	setting("ADMIN_TOKEN", "", func(c *Config) *proxy.Secret { return &c.AdminToken }, bearer),
	setting("ADMIN_ADDR", "", func(c *Config) *string { return &c.AdminAddr }, address),
	setting("METRICS_TOKEN", "", func(c *Config) *proxy.Secret { return &c.MetricsToken }, secret),
	{name: "CLIENT_TOKENS"}, // clients.go
	setting("ALERT_WEBHOOK_URL", "", func(c *Config) *proxy.Secret { return &c.Alerts.Webhook }, webhookURL),
	setting("ENCRYPTION_KEY", "", func(c *Config) *[]proxy.Secret { return &c.EncryptionKeys }, commaList(encryptionKey)),
	setting("TRUSTED_PROXIES", "", func(c *Config) *[]netip.Prefix { return &c.TrustedProxies }, commaList(prefix)),
	setting("CORS_ORIGINS", "*", func(c *Config) *[]string { return &c.CORSOrigins }, origins),
	setting("DRAIN_TIMEOUT", "30s", func(c *Config) *time.Duration { return &c.DrainTimeout }, duration(0, day)),
	setting("DRAIN_DELAY", "5s", func(c *Config) *time.Duration { return &c.DrainDelay }, duration(0, time.Hour)),
	setting("STREAM_IDLE_TIMEOUT", "5m", func(c *Config) *time.Duration { return &c.StreamIdleTimeout },
		duration(time.Millisecond, day)),
	setting("UPSTREAM_HTTP", "auto", func(c *Config) *string { return &c.UpstreamHTTP }, oneOf("auto", "1.1")),
	setting("MAX_BODY_BYTES", "512 MiB", func(c *Config) *int64 { return &c.MaxBodyBytes }, size(1, mostBody)),
	setting("REQUEST_LOG_BODIES", "0", func(c *Config) *int64 { return &c.RequestLogBodies }, size(0, mostKept)),
	setting("REQUESTS_KEPT", "250000", func(c *Config) *int64 { return &c.RequestsKept }, count(fewestRequests, mostRequests)),
	setting("OTEL_EXPORTER_OTLP_ENDPOINT", "", func(c *Config) *string { return &c.TraceEndpoint }, collector),
	setting("OTEL_EXPORTER_OTLP_HEADERS", "", func(c *Config) *proxy.Secret { return &c.TraceHeaders }, headers),
	{name: "LOG_LEVEL", fallback: "info", set: setLogLevel},
	setting("LOG_FORMAT", "", func(c *Config) *string { return &c.LogFormat }, oneOf("json", "text")),
}

// setting is a variable that parse turns into the field at the given place of the tree.
func setting[T any](name, fallback string, at func(*Config) *T, parse func(string) (T, error)) variable {
	return variable{name, fallback, func(c *Config, text string) error {
		v, err := parse(text)
		if err == nil {
			*at(c) = v
		}
		return err
	}}
}

// setLogLevel takes the four levels only; slog would also take "warn+2".
func setLogLevel(c *Config, text string) error {
	level, err := oneOf("debug", "info", "warn", "error")(text)
	if err != nil {
		return err
	}
	return c.LogLevel.UnmarshalText([]byte(level))
}

// environment applies the variables. The defaults go through the same parsers as what an operator writes.
func (l *loader) environment(vars []variable) {
	for _, v := range vars {
		if v.set == nil {
			continue
		}
		text, at, set := l.lookup(v.name)
		if !set {
			text = v.fallback
		}
		if !set && text == "" {
			continue
		}
		if err := v.set(l.cfg, text); err != nil {
			l.wrong(at, "%v", err)
		}
	}
}

// lookup returns a variable's text, from itself or from the file that its _FILE twin names, and where that was. Empty
// means not set, but for DATA_DIR, where it is a choice.
func (l *loader) lookup(name string) (text string, at place, set bool) {
	const emptyCounts, twin = "DATA_DIR", "_FILE"
	at = variableAt(name)
	text, set = l.src.Env(name)
	set = set && (text != "" || name == emptyCounts)
	file, _ := l.src.Env(name + twin)
	if file == "" {
		return text, at, set
	}
	if set {
		l.wrong(at, "is set, and so is %s%s; set one of them", name, twin)
		return text, at, set
	}
	at = variableAt(name + twin)
	data, err := l.src.read(file)
	if err != nil {
		l.wrong(at, "%s", unreadable(err))
		return "", at, false
	}
	text = cutNewline(string(data))
	if text == "" && name != emptyCounts {
		l.warn(at, "the file is empty, so %s counts as not set", name)
		return "", at, false
	}
	return text, at, true
}

// cutNewline cuts the one newline that editors and echo leave at the end.
func cutNewline(text string) string {
	if cut, ok := strings.CutSuffix(text, "\n"); ok {
		return strings.TrimSuffix(cut, "\r")
	}
	return text
}

// ListenAddr returns Config.Listen alone, for asking a running proxy whether it is ready: what else is wrong, or not
// readable for who asks, does not matter then. The error is a Mistakes.
func ListenAddr(src Source) (string, error) {
	l := &loader{src: src, cfg: new(Config)}
	l.environment(variables[:2])
	if len(l.mistakes) > 0 {
		return "", l.mistakes
	}
	return l.cfg.Listen, nil
}
