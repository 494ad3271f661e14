package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// key and client are entries of the configuration file.
type key struct {
	ID  string `json:"id"`
	Key string `json:"key"`
}

type client struct {
	ID     string           `json:"id"`
	Token  string           `json:"token"`
	RPM    int64            `json:"rpm,omitempty"`
	Burst  int64            `json:"burst,omitempty"`
	TPM    int64            `json:"tpm,omitempty"`
	Slots  int64            `json:"concurrency,omitempty"`
	Quota  []map[string]any `json:"quota,omitempty"`
	OnLoss string           `json:"onStateLoss,omitempty"`
}

// setup is how a proxy is set up.
type setup struct {
	keys, clients int
	alike         bool     // every client has the limits of the first; otherwise the second is strict, and others have small limits
	replicas      int      // at least one
	env           []string // what else it is told
}

// small is the one that most is measured with.
var small = setup{keys: 10, clients: 2}

// ours is the proxy with everything on: so many keys, clients with limits and quotas, Redis, metrics, the access log to a
// file. Its replicas have all of that in common.
func (s *stage) ours(as setup) (*target, error) {
	s.begun++
	path := filepath.Join(s.dir, fmt.Sprintf("config-%d.json", s.begun))
	tokens, err := as.write(path)
	if err != nil {
		return nil, err
	}
	env := append([]string{"CONFIG_FILE=" + path, "OPENAI_BASE_URL=http://" + s.upstream.addr, "REDIS_URL=redis://" + s.redis.addr,
		fmt.Sprintf("REDIS_PREFIX=bench-%d", s.begun), "ADMIN_TOKEN=" + adminToken, "DATA_DIR=", "LOG_FORMAT=json",
		"DRAIN_DELAY=0s", // no load balancer must hear of it
		"OPENAI_API_KEY=", "OPENAI_API_KEYS=", "CLIENT_TOKENS="}, as.env...)
	var first *target
	for range max(as.replicas, 1) {
		t, err := s.start(ours, "/readyz", env, func(string) []string { return []string{s.proxy} })
		if err != nil {
			if first != nil {
				first.stop()
			}
			return nil, err
		}
		if first == nil {
			first = t
			continue
		}
		first.others = append(first.others, t)
	}
	if as.alike {
		first.tokens = tokens
	}
	return first, nil
}

// write writes the configuration file, and returns the tokens of its clients.
func (as setup) write(path string) (tokens []string, err error) {
	var file struct {
		Keys    []key    `json:"keys"`
		Clients []client `json:"clients"`
	}
	for i := range as.keys {
		file.Keys = append(file.Keys, key{fmt.Sprintf("k%d", i), fmt.Sprintf("sk-test-up-%d", i)})
	}
	for i := range as.clients {
		c := as.client(i)
		file.Clients, tokens = append(file.Clients, c), append(tokens, c.Token)
	}
	text, err := json.Marshal(file)
	if err != nil {
		return nil, err
	}
	return tokens, os.WriteFile(path, text, 0o600)
}

// client is one of the clients. The second has a limit of concurrency, for which every request asks Redis.
func (as setup) client(i int) client {
	c := client{ID: fmt.Sprintf("c%d", i), Token: fmt.Sprintf("sk-test-client-%016d", 1000+i), RPM: 60, Burst: 60}
	switch i {
	case 0:
		c.Token = clientToken
	case 1:
		c.Token = strictToken
	}
	if i < 2 || as.alike {
		c.RPM, c.Burst, c.TPM, c.OnLoss = 10_000_000, 1_000_000, 1_000_000_000, "allow"
		c.Quota = []map[string]any{{"tokens": int64(1e15), "period": "month"}}
	}
	if i == 1 && !as.alike {
		c.Slots = 10_000
	}
	return c
}
