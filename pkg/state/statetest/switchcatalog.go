package statetest

import (
	"context"

	"openai-api-proxy/pkg/state"
)

// Apply is state.Catalog's.
func (s *Switchable) Apply(ctx context.Context, known int64, changes []state.Change, note state.Note) (int64, error) {
	if err := s.check(); err != nil {
		return 0, err
	}
	return s.Store.Apply(ctx, known, changes, note)
}

// Items is state.Catalog's.
func (s *Switchable) Items(ctx context.Context) ([]state.Item, int64, error) {
	if err := s.check(); err != nil {
		return nil, 0, err
	}
	return s.Store.Items(ctx)
}

// Since is state.Catalog's.
func (s *Switchable) Since(ctx context.Context, version int64) ([]state.Item, int64, error) {
	if err := s.check(); err != nil {
		return nil, 0, err
	}
	return s.Store.Since(ctx, version)
}

// Restore is state.Catalog's.
func (s *Switchable) Restore(ctx context.Context, items []state.Item, version int64) error {
	if err := s.check(); err != nil {
		return err
	}
	return s.Store.Restore(ctx, items, version)
}

// Note is state.Catalog's.
func (s *Switchable) Note(ctx context.Context, n state.Note) error {
	if err := s.check(); err != nil {
		return err
	}
	return s.Store.Note(ctx, n)
}

// Notes is state.Catalog's.
func (s *Switchable) Notes(ctx context.Context, after string, limit int) ([]state.Note, string, error) {
	if err := s.check(); err != nil {
		return nil, "", err
	}
	return s.Store.Notes(ctx, after, limit)
}
