package config

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"openai-api-proxy/pkg/proxy"
)

// Print writes what all sources come to, for people: much like YAML, with every default filled in and every secret
// masked. The error is the writer's.
func (c *Config) Print(w io.Writer) error {
	var p printer
	p.line("file", orNone(c.File))
	c.printAddresses(&p)
	c.printPolicy(&p)
	p.line("keys", len(c.Keys))
	for _, k := range c.Keys {
		p.key(k)
	}
	if len(c.Accounts) > 0 {
		p.line("accounts", len(c.Accounts))
	}
	for _, a := range c.Accounts {
		p.line("  - id", a.ID)
		p.limits(&a.Limits)
	}
	p.line("clients", len(c.Clients))
	for i := range c.Clients {
		p.client(&c.Clients[i])
	}
	for _, warning := range c.Warnings {
		p.line("warning", warning)
	}
	_, err := io.WriteString(w, c.mask(p.String()))
	return err
}

// Fingerprint is ten hex digits that change whenever a setting does, the same on replicas that are set alike: where each
// of them listens and keeps its data is its own. Load makes it once, since probes ask for it.
func (c *Config) Fingerprint() string { return c.fingerprint }

func (c *Config) hash() string {
	hash, alike := sha256.New(), *c
	alike.Listen, alike.AdminAddr, alike.DataDir = "", "", ""
	_ = alike.Print(hash) // a hash takes everything
	return hex.EncodeToString(hash.Sum(nil)[:5])
}

func (c *Config) printAddresses(p *printer) {
	p.line("listen", c.Listen)
	p.line("adminAddr", orNone(c.AdminAddr))
	p.line("adminToken", masked(c.AdminToken))
	p.line("metricsToken", masked(c.MetricsToken))
	p.line("baseUrl", c.BaseURL)
	p.line("trustedProxies", c.TrustedProxies)
	p.line("corsOrigins", c.CORSOrigins)
	p.line("dataDir", orNone(c.DataDir))
	p.line("redisUrl", masked(c.RedisURL))
	p.line("redisPrefix", c.RedisPrefix)
	p.line("requireRedis", c.RequireRedis)
	p.line("encryptionKeys", c.EncryptionKeys) // fingerprints
}

func (c *Config) printPolicy(p *printer) {
	p.line("strategy", c.Strategy)
	f := c.Failover
	p.line("failover", "")
	p.line("  maxRetries", f.MaxRetries)
	p.line("  retryDelay", f.RetryDelay)
	p.line("  failureThreshold", f.FailureThreshold)
	p.line("  openTimeout", f.OpenTimeout)
	p.line("  maxRest", f.MaxRest)
	p.line("  deadline", f.Deadline)
	p.line("  headerTimeout", f.HeaderTimeout)
	p.line("streamUsage", c.StreamUsage)
	p.line("streamIdleTimeout", c.StreamIdleTimeout)
	p.line("upstreamHTTP", c.UpstreamHTTP)
	p.line("drainTimeout", c.DrainTimeout)
	p.line("drainDelay", c.DrainDelay)
	p.line("maxBodyBytes", c.MaxBodyBytes)
	p.line("requestLogBodies", c.RequestLogBodies)
	p.line("requestsKept", c.RequestsKept)
	p.line("replayBytes", c.Limits.ReplayBytes)
	p.line("probe", "")
	p.line("  interval", c.Probe.Interval)
	p.line("alerts", "")
	p.line("  shares", c.Alerts.List())
	p.line("  webhook", masked(c.Alerts.Webhook))
	p.line("operations", "")
	p.line("  allow", c.Operations.Allow)
	p.line("  deny", c.Operations.Deny)
	c.printPrices(p)
	p.line("traceEndpoint", c.TraceEndpoint)
	p.line("traceHeaders", c.TraceHeaders)
	p.line("logLevel", strings.ToLower(c.LogLevel.String()))
	p.line("logFormat", cmp.Or(c.LogFormat, "text on a terminal, else json"))
}

// mask is for secrets that an operator wrote where they are no secrets: into a note, or an id. Short ones are left,
// since they would be found in ordinary words.
func (c *Config) mask(text string) string {
	const short = 8
	secrets := append([]proxy.Secret{c.AdminToken, c.MetricsToken, c.RedisURL, c.Alerts.Webhook, c.TraceHeaders}, c.EncryptionKeys...)
	for _, k := range c.Keys {
		secrets = append(secrets, k.Secret)
	}
	for _, client := range c.Clients {
		secrets = append(secrets, client.Token)
	}
	// Longest first: of two secrets one may begin with the other.
	slices.SortStableFunc(secrets, func(a, b proxy.Secret) int { return len(b.Reveal()) - len(a.Reveal()) })
	var pairs []string
	for _, s := range secrets {
		if len(s.Reveal()) >= short {
			pairs = append(pairs, s.Reveal(), s.Masked())
		}
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// printer writes lines of names and values.
type printer struct{ strings.Builder }

func (p *printer) line(name string, v any) {
	fmt.Fprintln(p, strings.TrimRight(fmt.Sprintf("%s: %v", name, v), " "))
}

// optional writes a line unless it would say nothing.
func (p *printer) optional(name string, v string) {
	if v != "" {
		p.line("    "+name, v)
	}
}

func (p *printer) key(k *proxy.Key) {
	p.line("  - id", k.ID)
	p.line("    key", masked(k.Secret))
	p.line("    source", k.Source)
	p.line("    account", k.Account)
	p.line("    endpoint", k.Endpoint)
	p.line("    weight", k.Weight)
	p.line("    enabled", k.Enabled)
	p.optional("models", strings.Join(k.Models, " "))
	p.limits(&k.Limits)
	p.optional("organization", k.Organization)
	p.optional("project", k.Project)
	p.optional("expires", moment(k.Expires))
	p.optional("pool", k.Pool)
	p.optional("tags", strings.Join(k.Tags, " "))
	if k.Note != "" {
		p.line("    note", strconv.Quote(k.Note))
	}
}

func (p *printer) limits(l *proxy.Limits) {
	for _, limit := range []struct {
		name string
		most int64
	}{{"rpm", l.RPM}, {"tpm", l.TPM}, {"concurrency", l.Concurrency}} {
		if limit.most > 0 {
			p.line("    "+limit.name, limit.most)
		}
	}
	for _, b := range l.Quota {
		p.line("    quota", fmt.Sprintf("%s (%s)", b.Amount(), b.Period))
	}
}

func (p *printer) client(c *Client) {
	p.line("  - id", c.ID)
	p.line("    token", masked(c.Token))
	p.line("    enabled", c.Enabled)
	if c.RPM > 0 {
		p.line("    rpm", fmt.Sprintf("%d (burst %d)", c.RPM, c.Burst))
	}
	if c.TPM > 0 {
		p.line("    tpm", c.TPM)
	}
	if c.Concurrency > 0 {
		p.line("    concurrency", c.Concurrency)
	}
	for _, b := range c.Quota {
		p.line("    quota", fmt.Sprintf("%s (%s)", b.Amount(), b.Period))
	}
	if c.Metered() {
		p.line("    mode", map[bool]string{false: "soft", true: "strict"}[c.Strict])
	}
	if len(c.Quota) > 0 {
		p.line("    onStateLoss", map[bool]string{false: "deny", true: "allow"}[c.AllowUncounted])
	}
	if c.Zone != nil {
		p.line("    timeZone", c.Zone)
	}
	p.optional("models", strings.Join(c.Models, " "))
	p.optional("pool", c.Pool)
	p.optional("group", c.Group)
	if len(c.IPs) > 0 {
		p.line("    ips", c.IPs)
	}
	p.optional("expires", moment(c.Expires))
}

// masked shows a secret in two ways: one to recognize it by, one to compare it with.
func masked(s proxy.Secret) string {
	if s.IsZero() {
		return orNone("")
	}
	return fmt.Sprintf("%s (%s)", s.Masked(), s.Fingerprint())
}

func orNone(s string) string {
	if s == "" {
		return "(none)"
	}
	return s
}

func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
