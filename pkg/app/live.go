package app

import (
	"context"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"openai-api-proxy/pkg/auth"
	"openai-api-proxy/pkg/balancer"
	"openai-api-proxy/pkg/catalog"
	"openai-api-proxy/pkg/config"
	"openai-api-proxy/pkg/edge"
	"openai-api-proxy/pkg/openai"
	"openai-api-proxy/pkg/price"
	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/relay"
	"openai-api-proxy/pkg/upstream"
)

// live puts snapshots in force. Each becomes one view of the edge, swapped at once: what a request has begun with, from its
// credentials to its keys, it ends with.
type live struct {
	app   *App
	gate  *auth.Gate
	spine *relay.Relay
	mask  atomic.Pointer[func([]byte) []byte]
	met   atomic.Bool // the fleet's snapshot was loaded, or there is no fleet

	operations *openai.Operations // the last that could be read; only use touches it
}

func (l *live) parts(a *App, gate *auth.Gate, spine *relay.Relay) {
	l.app, l.gate, l.spine = a, gate, spine
}

// use puts a snapshot in force. The catalog calls it with one at a time.
func (l *live) use(s *catalog.Snapshot) {
	set := &s.Settings
	operations, err := openai.NewOperations(set.Operations.Allow, set.Operations.Deny)
	if err != nil {
		l.app.log.Error("the operations stay as they were", "error", err)
		operations = l.operations
	}
	l.operations = operations
	mask := upstream.Masker(func() []proxy.Secret { return secrets(s) })
	l.mask.Store(&mask)
	keys := l.app.keys.Configure(balancer.Pool{Keys: keysOf(s), Accounts: s.Base.Accounts, Strategy: set.Strategy, CheckIdle: set.Probe.Interval,
		Policy: balancer.Policy{FailureThreshold: set.Failover.FailureThreshold, OpenTimeout: set.Failover.OpenTimeout,
			MaxRest: set.Failover.MaxRest}})
	plan := relay.Plan{Keys: keys, HeaderTimeout: set.Failover.HeaderTimeout, InjectUsage: set.StreamUsage == config.InjectUsage,
		Shared: sharing(s), Policy: relay.Policy{MaxRetries: set.Failover.MaxRetries, RetryDelay: set.Failover.RetryDelay,
			Deadline: set.Failover.Deadline}, Prices: price.NewTable(s.Base.Prices)}
	spine := l.spine.Under(plan)
	view := edge.View{Auth: l.gate.With(credentials(s)), Relay: spine, Operations: operations,
		Replay: set.Limits.ReplayBytes, HasKeys: len(s.Keys) > 0}
	if s.ByKeys && !l.met.Load() {
		view.Auth = unmet{}
	}
	l.app.edge.Use(view)
	spine.Review() // by the view that is in force now
}

// maskSecrets hides all live secrets in a text.
func (l *live) maskSecrets(text []byte) []byte { return (*l.mask.Load())(text) }

// checkOperations reports what the table of operations cannot take.
func checkOperations(s *config.Settings) error {
	_, err := openai.NewOperations(s.Operations.Allow, s.Operations.Deny)
	return err
}

// unmet lets nobody in: as long as a replica has not heard from its fleet it cannot know whether keys are still tokens.
type unmet struct{}

func (unmet) Client(context.Context, http.Header, netip.Addr) (*proxy.Client, error) {
	return nil, &proxy.Fault{Kind: proxy.NoAvailableKey, RetryAfter: time.Second, Public: "the proxy is not ready: the shared state does not answer"}
}

func (unmet) Still(http.Header, netip.Addr) (*proxy.Client, time.Time) { return nil, time.Time{} }

func keysOf(s *catalog.Snapshot) []*proxy.Key {
	all := make([]*proxy.Key, len(s.Keys))
	for i, k := range s.Keys {
		all[i] = k.Key
	}
	return all
}

// credentials are who may call: the clients, or, while there never was one, whoever holds one of the keys (the v1 way).
func credentials(s *catalog.Snapshot) []auth.Credential {
	all := make([]auth.Credential, 0, len(s.Clients))
	for _, c := range s.Clients {
		for _, t := range c.Tokens {
			all = append(all, auth.Credential{Hash: t.Hash, Client: c.Client, Until: t.Until})
		}
	}
	if !s.ByKeys {
		return all
	}
	everybody := &proxy.Client{ID: proxy.DefaultClient, Enabled: true}
	for _, k := range s.Keys {
		if k.Enabled && k.Source != config.SourceRuntime {
			all = append(all, auth.Credential{Hash: k.Secret.Hash(), Client: everybody})
		}
	}
	return all
}

// secrets are all live secrets, to be masked in the bodies of failures.
func secrets(s *catalog.Snapshot) []proxy.Secret {
	all := []proxy.Secret{s.Base.AdminToken, s.Base.MetricsToken, s.Base.Alerts.Webhook}
	for _, k := range s.Keys {
		all = append(all, k.Secret)
	}
	for _, c := range s.Clients {
		for _, t := range c.Tokens {
			all = append(all, t.Secret)
		}
	}
	return all
}
