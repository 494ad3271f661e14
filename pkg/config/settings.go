package config

import (
	"time"
)

// What StreamUsage may be.
const (
	InjectUsage  = "inject"
	ObserveUsage = "observe"
)

// strategies are what Strategy may be; package balancer carries them out.
var strategies = []string{"roundrobin", "random", "weighted", "quota", "leastbusy"}

// Settings are what may change while the proxy runs: the file says them, and operators override them.
type Settings struct {
	// Strategy picks the next key: roundrobin (ignores weights), random, weighted, quota or leastbusy. Default
	// roundrobin.
	Strategy string
	// Failover says how hard a request is tried and how long a key rests.
	Failover Failover
	// StreamUsage is InjectUsage, which asks the upstream for usage on streams and hides it from callers who did not, or
	// ObserveUsage, which leaves the body alone and estimates what is not said. Default InjectUsage.
	StreamUsage string
	// Limits bound what a request may hold in memory.
	Limits Limits
	// Operations opens operations that the proxy does not know, and closes known ones.
	Operations Operations
	// Probe says how often idle keys are looked after.
	Probe Probe
}

// Probe is the look at keys that nobody uses.
type Probe struct {
	// Interval is how long a key may be idle before the upstream is asked whether it still accepts it, by one replica of the
	// fleet. Default 15m; 0 turns it off. A fleet asks at most ten times a second, so with very many keys it takes longer.
	Interval time.Duration
}

// Failover is how hard a request is tried and how long a key rests. In the file all durations are milliseconds.
type Failover struct {
	// MaxRetries is how many attempts may follow ones that the upstream might have carried out, 0 to 10. Default 3.
	// Attempts that were certainly not carried out are not counted, only bound by Deadline.
	MaxRetries int
	// RetryDelay is the base of a jittered pause before a second try on the same account, never before another key.
	// Default 1s.
	RetryDelay time.Duration
	// FailureThreshold failures within 30 s, at least half of the key's attempts in that time, trip it. Default 5. With 1
	// any single failure takes a key out.
	FailureThreshold int
	// OpenTimeout is the first rest of a key that tripped; it doubles up to MaxRest. Default 30s.
	OpenTimeout time.Duration
	// MaxRest bounds every rest, also those an upstream asks for. Default 10m. Not below OpenTimeout.
	MaxRest time.Duration
	// Deadline is the time from the start of a request to the start of its last attempt. Default 1m. It does not cut an
	// attempt that runs.
	Deadline time.Duration
	// HeaderTimeout bounds the wait for the headers of an answer. Default 10m, since reasoning models that do not stream
	// say nothing until they are done.
	HeaderTimeout time.Duration
}

// Limits bound memory.
type Limits struct {
	// ReplayBytes is the largest request body that is held for another attempt, up to 256 MiB, which is what all requests
	// together may hold. Default 16 MiB. A longer body is sent once, so its request has no failover.
	ReplayBytes int64
}

// Operations names operations as "METHOD /v1/path", the path with {slots}: "GET /v1/things/{id}". Only that shape is
// checked here; what exists is known to package openai.
type Operations struct {
	Allow []string // opened although unknown, or refused by default
	Deny  []string // closed although known; wins over Allow
}

const (
	mostRetries   = 10
	mostThreshold = 1000
	mostReplay    = 256 << 20 // what all requests together may hold
)

// DefaultSettings are those that hold where neither the file nor an operator says otherwise.
func DefaultSettings() Settings {
	return Settings{
		Strategy: "roundrobin",
		Failover: Failover{MaxRetries: 3, RetryDelay: time.Second, FailureThreshold: 5, OpenTimeout: 30 * time.Second,
			MaxRest: 10 * time.Minute, Deadline: time.Minute, HeaderTimeout: 10 * time.Minute},
		StreamUsage: InjectUsage,
		Limits:      Limits{ReplayBytes: 16 << 20},
		Probe:       Probe{Interval: 15 * time.Minute},
	}
}

// read sets what an object of the file's form sets.
func (s *Settings) read(root *fields) {
	if text, set := get(root, "strategy", oneOf(strategies...)); set {
		s.Strategy = text
	}
	if text, set := get(root, "streamUsage", oneOf(InjectUsage, ObserveUsage)); set {
		s.StreamUsage = text
	}
	if limits, set := root.object("limits"); set {
		s.Limits.ReplayBytes = limits.whole("replayBytes", s.Limits.ReplayBytes, 1, mostReplay)
		limits.end()
	}
	if operations, set := root.object("operations"); set {
		s.Operations.read(operations)
		operations.end()
	}
	if failover, set := root.object("failover"); set {
		s.Failover.read(failover)
		failover.end()
	}
	if probe, set := root.object("probe"); set {
		s.Probe.Interval = probe.milliseconds("interval", s.Probe.Interval, 0, day)
		probe.end()
	}
}

// read sets what the file sets.
func (o *Operations) read(from *fields) {
	if from.has("allow") {
		o.Allow = getAll(from, "allow", operation)
	}
	if from.has("deny") {
		o.Deny = getAll(from, "deny", operation)
	}
}

// read sets what the file sets.
func (f *Failover) read(from *fields) {
	const most = day
	f.MaxRetries = int(from.whole("maxRetries", int64(f.MaxRetries), 0, mostRetries))
	f.RetryDelay = from.milliseconds("retryDelay", f.RetryDelay, 0, time.Minute)
	f.FailureThreshold = int(from.whole("failureThreshold", int64(f.FailureThreshold), 1, mostThreshold))
	f.OpenTimeout = from.milliseconds("openTimeout", f.OpenTimeout, time.Millisecond, most)
	f.MaxRest = from.milliseconds("maxRest", f.MaxRest, time.Millisecond, most)
	f.Deadline = from.milliseconds("deadline", f.Deadline, time.Millisecond, most)
	f.HeaderTimeout = from.milliseconds("headerTimeout", f.HeaderTimeout, time.Millisecond, most)
	if f.MaxRest < f.OpenTimeout {
		from.wrong(from.at, "maxRest (%d ms) must not be below openTimeout (%d ms)",
			f.MaxRest.Milliseconds(), f.OpenTimeout.Milliseconds())
	}
}
