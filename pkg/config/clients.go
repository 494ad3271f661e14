package config

import (
	"slices"

	"openai-api-proxy/pkg/proxy"
)

// mostRate bounds rpm and burst: stores keep the time between two requests in whole microseconds.
const mostRate = 10_000_000

// mostSlots bounds concurrency.
const mostSlots = 100_000

// clients reads the clients of both sources, the file first. It comes after keys, which no token may be.
func (l *loader) clients(root *fields) {
	upstream := map[proxy.Secret]bool{}
	for _, k := range l.cfg.Keys {
		upstream[k.Secret] = true
	}
	reader := func(source string) func(*fields) (entry[Client], bool) {
		return func(f *fields) (entry[Client], bool) {
			e, ok := client(f)
			e.is.Source = source
			return e, ok
		}
	}
	all := entries(root.array("clients"), reader(SourceFile))
	all = append(all, entries(l.array("CLIENT_TOKENS"), reader(SourceEnvironment))...)
	kept := merge(&l.notes, "token", all)
	l.cfg.Clients = slices.Grow(l.cfg.Clients, len(kept))
	for _, e := range kept {
		if upstream[e.secret] {
			l.wrong(e.at, "has an upstream key as token: callers must not hold one; make a token with `openssl rand -hex 16`")
		}
		l.cfg.Clients = append(l.cfg.Clients, e.is)
	}
}

// client reads one client. Without its token it cannot be compared with others, and is not ok.
func client(f *fields) (e entry[Client], ok bool) {
	var c Client
	c.Token, ok = need(f, "token", bearer)
	if n := len(c.Token.Reveal()); ok && n < goodToken {
		f.warn(f.at, "its token has %d characters, which a patient stranger might guess; 32 are better", n)
	}
	c.ID = identify(f, "client-", c.Token)
	c.RPM = f.whole("rpm", 0, 1, mostRate)
	c.Burst = f.whole("burst", c.RPM, 1, mostRate)
	if c.Burst != 0 && !f.has("rpm") {
		f.wrong(f.at, "has a burst but no rpm, so nothing would be limited")
	}
	c.TPM = f.whole("tpm", 0, 1, mostTokens)
	c.Concurrency = f.whole("concurrency", 0, 1, mostSlots)
	c.Quota = budgets(f)
	mode, _ := get(f, "mode", oneOf("soft", "strict"))
	c.Strict = mode == "strict"
	c.Zone, _ = get(f, "timeZone", timeZone)
	loss, _ := get(f, "onStateLoss", oneOf("deny", "allow"))
	c.AllowUncounted = loss == "allow"
	if c.Strict && !c.Metered() {
		f.warn(f.at, "is strict, but has no limit of tokens or money that this could apply to")
	}
	c.Models = some(f, "models", headerText)
	c.Pool, _ = get(f, "pool", identifier)
	c.Group, _ = get(f, "group", identifier)
	c.IPs = some(f, "ips", prefix)
	c.Enabled = f.flag("enabled", true)
	c.Expires, _ = get(f, "expires", expiry)
	f.end()
	return entry[Client]{c, c.ID, c.Token, f.at}, ok
}
