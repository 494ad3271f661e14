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
	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
	"openai-api-proxy/pkg/state/memstate"
	"openai-api-proxy/pkg/state/redisstate"
)

// openStore opens the state that the configuration names. fleet is the same store when replicas share it, nil otherwise.
func openStore(cfg *config.Config, log *slog.Logger) (store state.Store, fleet *redisstate.Store, err error) {
	switch {
	case !cfg.RedisURL.IsZero():
		fleet, err = redisstate.Open(cfg.RedisURL.Reveal(), cfg.RedisPrefix, cfg.Fingerprint(), log)
		return fleet, fleet, err
	case cfg.DataDir == "":
		return memstate.New(), nil, nil
	default:
		store, err = memstate.Open(cfg.DataDir, memstate.WithLog(log))
		return store, nil, err
	}
}

// adminToken is the configured token, or one that is made once and kept beside the state, readable by its owner only.
// Without a place to keep it there is none, and the management API stays closed; replicas would each make another one.
func (a *App) adminToken() (proxy.Secret, error) {
	if !a.cfg.AdminToken.IsZero() || a.cfg.DataDir == "" || a.fleet != nil {
		return a.cfg.AdminToken, nil
	}
	path := filepath.Join(a.cfg.DataDir, "admin-token")
	kept, err := os.ReadFile(path)
	if err == nil {
		if token := strings.TrimSpace(string(kept)); token != "" {
			a.log.Info("admin token", "file", path)
			return proxy.NewSecret(token), nil
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return proxy.Secret{}, fmt.Errorf("admin token: %w", err)
	}
	var random [24]byte
	rand.Read(random[:])
	token := "admin-" + hex.EncodeToString(random[:])
	if err := os.WriteFile(path, []byte(token+"\n"), 0o600); err != nil {
		return proxy.Secret{}, fmt.Errorf("admin token: %w", err)
	}
	a.log.Info("admin token made", "file", path)
	return proxy.NewSecret(token), nil
}
