package config

import (
	"path/filepath"

	"openai-api-proxy/pkg/proxy"
)

const (
	mostWeight = 1000
	mostCount  = 1<<53 - 1 // what every store counts exactly
)

// keys reads the keys of all sources, those that win first.
func (l *loader) keys(root *fields) {
	before := len(l.mistakes)
	reader := func(source string) func(*fields) (entry[*proxy.Key], bool) {
		return func(f *fields) (entry[*proxy.Key], bool) { return l.key(f, source) }
	}
	all := entries(root.array("keys"), reader(SourceFile))
	all = append(all, entries(l.array("OPENAI_API_KEYS"), reader(SourceEnvironment))...)
	all = append(all, l.singleKey()...)
	if len(all) == 0 && len(l.mistakes) == before && !l.unread && !l.operated() {
		l.wrong(variableAt("OPENAI_API_KEY"),
			"there is no upstream key: set OPENAI_API_KEY, OPENAI_API_KEYS, or keys in the file that CONFIG_FILE names")
	}
	for _, e := range merge(&l.notes, "key", all) {
		l.cfg.Keys = append(l.cfg.Keys, e.is)
	}
}

// operated reports whether somebody can add keys while the proxy runs: without a key it may then start, not ready.
func (l *loader) operated() bool {
	if !l.cfg.AdminToken.IsZero() || l.cfg.DataDir == "" {
		return !l.cfg.AdminToken.IsZero()
	}
	_, err := l.src.read(filepath.Join(l.cfg.DataDir, AdminTokenFile)) // made at the first start
	return err == nil && l.cfg.RedisURL.IsZero()
}

// AdminTokenFile is where a proxy with embedded state keeps the admin token that it made, in its DATA_DIR.
const AdminTokenFile = "admin-token"

// singleKey is OPENAI_API_KEY, a key with nothing but defaults.
func (l *loader) singleKey() []entry[*proxy.Key] {
	text, at, set := l.lookup("OPENAI_API_KEY")
	if !set {
		return nil
	}
	s, err := secret(text)
	if err != nil {
		l.wrong(at, "%v", err)
		return nil
	}
	id := "key-" + s.Fingerprint()
	k := &proxy.Key{ID: id, Account: id, Secret: s, Endpoint: l.cfg.BaseURL, Weight: 1, Enabled: true,
		Source: SourceEnvironment}
	return []entry[*proxy.Key]{{k, id, s, at}}
}

// key reads one key. Without its secret it cannot be compared with others, and is not ok.
func (l *loader) key(f *fields, source string) (e entry[*proxy.Key], ok bool) {
	k := &proxy.Key{Source: source}
	k.Secret, ok = need(f, "key", secret)
	k.ID = identify(f, "key-", k.Secret)
	k.Account = k.ID
	if account, set := get(f, "account", identifier); set {
		k.Account = account
	}
	k.Endpoint = l.cfg.BaseURL
	if base, set := get(f, "baseUrl", baseURL); set {
		k.Endpoint = base
		if exposed(base) {
			l.warn(f.at, "baseUrl "+notEncrypted)
		}
	}
	k.Organization, _ = get(f, "organization", headerText)
	k.Project, _ = get(f, "project", headerText)
	k.Weight = f.whole("weight", 1, 1, mostWeight)
	k.Models = some(f, "models", headerText)
	k.Limits = limits(f)
	k.Enabled = f.flag("enabled", true)
	k.Expires, _ = get(f, "expires", expiry)
	k.Note, _ = get(f, "note", anyText)
	k.Tags = getAll(f, "tags", identifier)
	k.Pool, _ = get(f, "pool", identifier)
	f.end()
	return entry[*proxy.Key]{k, k.ID, k.Secret, f.at}, ok
}

var period = oneOf(string(proxy.Minute), string(proxy.Hour), string(proxy.Day), string(proxy.Month),
	string(proxy.Total))
