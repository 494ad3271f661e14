package app

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"openai-api-proxy/pkg/config"
	"openai-api-proxy/pkg/journal"
	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
	"openai-api-proxy/pkg/state/memstate"
	"openai-api-proxy/pkg/state/redisstate"
)

// openStore opens the state that the configuration names. fleet is the same store when replicas share it, nil otherwise.
func openStore(cfg *config.Config, log *slog.Logger, opts []redisstate.Option) (store state.Store, fleet *redisstate.Store, err error) {
	switch {
	case !cfg.RedisURL.IsZero():
		opts = append([]redisstate.Option{redisstate.WithRequests(cfg.RequestsKept)}, opts...)
		fleet, err = redisstate.Open(cfg.RedisURL.Reveal(), cfg.RedisPrefix, cfg.Fingerprint(), log, opts...)
		return fleet, fleet, err
	case cfg.DataDir == "":
		return memstate.New(memstate.WithRequests(int(cfg.RequestsKept))), nil, nil
	default:
		store, err = memstate.Open(cfg.DataDir, memstate.WithLog(log), memstate.WithRequests(int(cfg.RequestsKept)))
		return store, nil, err
	}
}

// journals are where replicas keep what they have not yet told the state, each in a directory of its own.
func (a *App) journals() journal.Dir {
	if a.cfg.DataDir == "" {
		return journal.Dir{}
	}
	return journal.Dir{Path: filepath.Join(a.cfg.DataDir, "journal")}
}

// adminToken is the configured token, or one that is made once and kept beside the state, readable by its owner only.
// Without a place to keep it there is none, and the management API stays closed; replicas would each make another one.
func (a *App) adminToken() (proxy.Secret, error) {
	if !a.cfg.AdminToken.IsZero() || a.cfg.DataDir == "" || a.fleet != nil {
		return a.cfg.AdminToken, nil
	}
	token, err := a.madeOnce(config.AdminTokenFile, func() proxy.Secret {
		var random [24]byte
		rand.Read(random[:])
		return proxy.NewSecret("admin-" + hex.EncodeToString(random[:]))
	})
	a.madeToken = token
	return token, err
}

// madeOnce is a secret that is made at the first start and kept beside the state, readable by its owner only. Without a
// place to keep it, it is made anew at each start.
func (a *App) madeOnce(name string, make func() proxy.Secret) (proxy.Secret, error) {
	if a.cfg.DataDir == "" {
		return make(), nil
	}
	path := filepath.Join(a.cfg.DataDir, name)
	kept, err := os.ReadFile(path)
	if err == nil {
		if text := strings.TrimSpace(string(kept)); text != "" {
			a.log.Info(name, "file", path)
			return proxy.NewSecret(text), nil
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return proxy.Secret{}, fmt.Errorf("%s: %w", name, err)
	}
	secret := make()
	if err := os.WriteFile(path, []byte(secret.Reveal()+"\n"), 0o600); err != nil {
		return proxy.Secret{}, fmt.Errorf("%s: %w", name, err)
	}
	a.log.Info(name+" made", "file", path)
	return secret, nil
}
