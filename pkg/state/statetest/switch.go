package statetest

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
)

// Switchable is a Store that can be switched off: every call then fails as if the state were away.
type Switchable struct {
	state.Store
	off  atomic.Bool
	deaf atomic.Bool
}

// Switch makes a Store switchable; it is on.
func Switch(s state.Store) *Switchable { return &Switchable{Store: s} }

// Off switches it off, or on again.
func (s *Switchable) Off(off bool) { s.off.Store(off) }

// Deaf lets it carry out what Spend and Settle ask for and lose the answers.
func (s *Switchable) Deaf(deaf bool) { s.deaf.Store(deaf) }

func (s *Switchable) check() error {
	if s.off.Load() {
		return fmt.Errorf("%w: switched off", state.ErrUnsent)
	}
	return nil
}

// Advance is state.Store's.
func (s *Switchable) Advance(ctx context.Context, pool string, n int64) (int64, error) {
	if err := s.check(); err != nil {
		return 0, err
	}
	return s.Store.Advance(ctx, pool, n)
}

// Spend is state.Store's.
func (s *Switchable) Spend(ctx context.Context, subject, reservation string, charges []state.Charge) (state.Verdict, error) {
	if err := s.check(); err != nil {
		return state.Verdict{}, err
	}
	v, err := s.Store.Spend(ctx, subject, reservation, charges)
	if s.deaf.Load() {
		return state.Verdict{}, fmt.Errorf("%w: the answer is lost", state.ErrUnavailable)
	}
	return v, err
}

// Settle is state.Store's.
func (s *Switchable) Settle(ctx context.Context, settlements []state.Settlement) error {
	if err := s.check(); err != nil {
		return err
	}
	err := s.Store.Settle(ctx, settlements)
	if s.deaf.Load() {
		return fmt.Errorf("%w: the answer is lost", state.ErrUnavailable)
	}
	return err
}

// Renew is state.Store's.
func (s *Switchable) Renew(ctx context.Context, held []state.Held) error {
	if err := s.check(); err != nil {
		return err
	}
	return s.Store.Renew(ctx, held)
}

// Fail is state.Store's.
func (s *Switchable) Fail(ctx context.Context, key string, seen state.Attempts) (state.Attempts, error) {
	if err := s.check(); err != nil {
		return state.Attempts{}, err
	}
	return s.Store.Fail(ctx, key, seen)
}

// Rest is state.Store's.
func (s *Switchable) Rest(ctx context.Context, r state.Rest) error {
	if err := s.check(); err != nil {
		return err
	}
	return s.Store.Rest(ctx, r)
}

// Wake is state.Store's.
func (s *Switchable) Wake(ctx context.Context, subject state.Subject) error {
	if err := s.check(); err != nil {
		return err
	}
	return s.Store.Wake(ctx, subject)
}

// Rests is state.Store's.
func (s *Switchable) Rests(ctx context.Context) ([]state.Rest, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	return s.Store.Rests(ctx)
}

// Claim is state.Store's.
func (s *Switchable) Claim(ctx context.Context, subject state.Subject, ttl time.Duration) (bool, error) {
	if err := s.check(); err != nil {
		return false, err
	}
	return s.Store.Claim(ctx, subject, ttl)
}

// Release is state.Store's.
func (s *Switchable) Release(ctx context.Context, subject state.Subject) error {
	if err := s.check(); err != nil {
		return err
	}
	return s.Store.Release(ctx, subject)
}

// Count is state.Store's.
func (s *Switchable) Count(ctx context.Context, b state.Batch) error {
	if err := s.check(); err != nil {
		return err
	}
	return s.Store.Count(ctx, b)
}

// Totals is state.Store's.
func (s *Switchable) Totals(ctx context.Context) (state.Totals, error) {
	if err := s.check(); err != nil {
		return state.Totals{}, err
	}
	return s.Store.Totals(ctx)
}

// Series is state.Store's.
func (s *Switchable) Series(ctx context.Context, q state.SeriesQuery) ([]state.Point, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	return s.Store.Series(ctx, q)
}

// Requests is state.Store's.
func (s *Switchable) Requests(ctx context.Context, q state.RequestQuery) (state.Page, error) {
	if err := s.check(); err != nil {
		return state.Page{}, err
	}
	return s.Store.Requests(ctx, q)
}

// KeepObjects is state.Store's.
func (s *Switchable) KeepObjects(ctx context.Context, owner string, objects []proxy.Object) error {
	if err := s.check(); err != nil {
		return err
	}
	return s.Store.KeepObjects(ctx, owner, objects)
}

// FindObjects is state.Store's.
func (s *Switchable) FindObjects(ctx context.Context, owner string, ids []proxy.ObjectID) ([]proxy.Object, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	return s.Store.FindObjects(ctx, owner, ids)
}

// ForgetObjects is state.Store's.
func (s *Switchable) ForgetObjects(ctx context.Context, owner string, ids []proxy.ObjectID) error {
	if err := s.check(); err != nil {
		return err
	}
	return s.Store.ForgetObjects(ctx, owner, ids)
}

// TakeObject is state.Store's.
func (s *Switchable) TakeObject(ctx context.Context, owner string, id proxy.ObjectID) (bool, error) {
	if err := s.check(); err != nil {
		return false, err
	}
	return s.Store.TakeObject(ctx, owner, id)
}

// ListObjects is state.Store's.
func (s *Switchable) ListObjects(ctx context.Context, owner string, q proxy.ObjectQuery) (proxy.ObjectPage, error) {
	if err := s.check(); err != nil {
		return proxy.ObjectPage{}, err
	}
	return s.Store.ListObjects(ctx, owner, q)
}
