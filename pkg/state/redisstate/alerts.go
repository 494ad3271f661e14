package redisstate

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"openai-api-proxy/pkg/state"
)

var (
	//go:embed tell.lua
	tellSource string
	//go:embed endalert.lua
	endAlertSource string
)

// alertScripts elect who tells of an alert.
type alertScripts struct {
	tell, end *redis.Script
	most      int // names that last, and alerts that are kept; lower in tests
	kept      int
}

func newAlertScripts() alertScripts {
	return alertScripts{redis.NewScript(tellSource), redis.NewScript(endAlertSource), state.MostLasting, state.AlertsKept}
}

// Tell runs tell.lua.
func (s *Store) Tell(ctx context.Context, a state.Alert, token string, life time.Duration) (bool, error) {
	ctx, cancel := within(ctx, slowTimeout)
	defer cancel()
	first, err := s.alerts.tell.Run(ctx, s.slow, []string{s.keys.told(a.Name), s.keys.lasting(), s.keys.alerts()}, a.Name, token,
		life.Milliseconds(), a.Text, s.alerts.most, s.alerts.kept, state.AlertMemory.Milliseconds()).Bool()
	return first, unavailable(err)
}

// End runs endalert.lua.
func (s *Store) End(ctx context.Context, a state.Alert, token string) (bool, error) {
	ctx, cancel := within(ctx, slowTimeout)
	defer cancel()
	first, err := s.alerts.end.Run(ctx, s.slow, []string{s.keys.lasting(), s.keys.ended(a.Name), s.keys.alerts()}, a.Name, token,
		a.Text, s.alerts.kept, state.AlertMemory.Milliseconds()).Bool()
	return first, unavailable(err)
}

// Lasting reads the whole hash.
func (s *Store) Lasting(ctx context.Context) ([]string, error) {
	ctx, cancel := within(ctx, slowTimeout)
	defer cancel()
	names, err := s.slow.HKeys(ctx, s.keys.lasting()).Result()
	return names, unavailable(err)
}

// Told reads the stream backwards, whose ids are times.
func (s *Store) Told(ctx context.Context, after string, limit int) ([]state.Alert, error) {
	oldest := "-"
	if after != "" {
		if _, ok := noteTime(after); !ok {
			return nil, fmt.Errorf("%q is not the id of an alert", after)
		}
		oldest = "(" + after
	}
	ctx, cancel := within(ctx, slowTimeout)
	defer cancel()
	found, err := s.slow.XRevRangeN(ctx, s.keys.alerts(), "+", oldest, int64(min(max(limit, 1), state.AlertsKept))).Result()
	if err != nil {
		return nil, unavailable(err)
	}
	all := make([]state.Alert, 0, len(found))
	for _, m := range found {
		name, _ := m.Values["name"].(string)
		text, _ := m.Values["text"].(string)
		all = append(all, state.Alert{ID: m.ID, Name: name, Text: []byte(text)})
	}
	return all, nil
}
