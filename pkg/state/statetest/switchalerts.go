package statetest

import (
	"context"
	"time"

	"openai-api-proxy/pkg/state"
)

// Tell is state.Alerts'.
func (s *Switchable) Tell(ctx context.Context, a state.Alert, token string, life time.Duration) (bool, error) {
	if err := s.check(); err != nil {
		return false, err
	}
	return s.Store.Tell(ctx, a, token, life)
}

// End is state.Alerts'.
func (s *Switchable) End(ctx context.Context, a state.Alert, token string) (bool, error) {
	if err := s.check(); err != nil {
		return false, err
	}
	return s.Store.End(ctx, a, token)
}

// Lasting is state.Alerts'.
func (s *Switchable) Lasting(ctx context.Context) ([]string, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	return s.Store.Lasting(ctx)
}

// Told is state.Alerts'.
func (s *Switchable) Told(ctx context.Context, after string, limit int) ([]state.Alert, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	return s.Store.Told(ctx, after, limit)
}
