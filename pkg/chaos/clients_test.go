package chaos

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// adminToken is made up, as all secrets here are.
const adminToken = "sk-test-admin-00000000000000000001"

// client is a client of the proxy, in the fields of its configuration, and how many callers it has.
type client struct {
	ID          string   `json:"id"`
	Token       string   `json:"token"`
	Mode        string   `json:"mode,omitempty"`
	RPM         int64    `json:"rpm,omitempty"`
	Burst       int64    `json:"burst,omitempty"`
	TPM         int64    `json:"tpm,omitempty"`
	Concurrency int64    `json:"concurrency,omitempty"`
	Quota       []budget `json:"quota,omitempty"`
	OnStateLoss string   `json:"onStateLoss,omitempty"`

	callers int
}

type budget struct {
	Tokens   int64  `json:"tokens,omitempty"`
	Requests int64  `json:"requests,omitempty"`
	Period   string `json:"period"`
}

const strict = "strict"

// quota is the limit of tokens in the period, 0 if there is none.
func (c *client) quota(period string) int64 {
	for _, b := range c.Quota {
		if b.Period == period && b.Tokens > 0 {
			return b.Tokens
		}
	}
	return 0
}

// crowd are the clients of the storm, with 256 callers. Quotas in total are such that some are used up early, some late.
func crowd(span time.Duration) []*client {
	total := func(perSecond float64) []budget {
		return tokens(int64(perSecond*span.Seconds()), "total")
	}
	all := []*client{
		{ID: "total-1", Mode: strict, Quota: total(150), callers: 16},
		{ID: "total-2", Mode: strict, Quota: total(1000), callers: 16},
		{ID: "total-3", Mode: strict, Quota: total(2500), callers: 16},
		{ID: "total-4", Mode: strict, Quota: total(5000), callers: 16},
		{ID: "minute-1", Mode: strict, Quota: tokens(20_000, "minute"), callers: 16},
		{ID: "minute-2", Mode: strict, Quota: append(tokens(100_000, "minute"), tokens(10_000_000, "month")...), callers: 16},
		{ID: "rate-1", Mode: strict, RPM: 600, Burst: 20, callers: 16},
		{ID: "rate-2", RPM: 1200, Burst: 60, callers: 16},
		{ID: "tpm-1", Mode: strict, TPM: 60_000, callers: 16},
		{ID: "slots-1", Mode: strict, Concurrency: 4, callers: 16},
		{ID: "slots-2", Concurrency: 8, callers: 16},
		{ID: "all-1", Mode: strict, RPM: 3000, Burst: 100, TPM: 600_000, Concurrency: 12, Quota: total(4000), callers: 16},
		{ID: "soft-1", Quota: total(500), callers: 16},
		{ID: "soft-2", TPM: 10_000_000, OnStateLoss: "allow", Quota: tokens(100_000_000, "month"), callers: 16},
		{ID: "hot", RPM: 10_000_000, TPM: 900_000_000, Quota: tokens(1_000_000_000, "month"), callers: 16},
		{ID: "free", callers: 16},
		{ID: "probe", Mode: strict, Quota: tokens(100_000_000, "total")},
	}
	return withTokens(all)
}

func tokens(n int64, period string) []budget { return []budget{{Tokens: n, Period: period}} }

// withTokens gives every client a token of its own.
func withTokens(all []*client) []*client {
	for i, c := range all {
		c.Token = fmt.Sprintf("sk-test-client-%019d", i)
	}
	return all
}

// clientOf finds a client by its id.
func clientOf(all []*client, id string) *client {
	for _, c := range all {
		if c.ID == id {
			return c
		}
	}
	return nil
}

// upstreamKeys is how many keys there are, each of an account of its own.
const upstreamKeys = 8

func upstreamKey(i int) string { return fmt.Sprintf("sk-test-key-%020d", i) }

// writeConfig writes the configuration of all replicas and returns its name.
func writeConfig(t testing.TB, clients []*client) string {
	t.Helper()
	type key struct {
		ID  string `json:"id"`
		Key string `json:"key"`
	}
	var keys []key
	for i := range upstreamKeys {
		keys = append(keys, key{fmt.Sprintf("k%d", i), upstreamKey(i)})
	}
	text, err := json.Marshal(map[string]any{"keys": keys, "clients": clients,
		"failover": map[string]any{"openTimeout": 1000, "maxRest": 4000, "headerTimeout": 3000, "retryDelay": 50}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "chaos.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
