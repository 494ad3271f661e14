package usage

import (
	"context"
	"fmt"
	"time"

	"openai-api-proxy/pkg/state"
)

// run writes at every tick, and once more at the end.
func (m *Meter) run() {
	tick := time.NewTicker(m.every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			_ = m.flush(ctx) // logged and counted there; the next tick tries again
			cancel()
		case <-m.stopping:
			m.last(tick.C)
			return
		}
	}
}

// last writes until all is written or patience ends.
func (m *Meter) last(tick <-chan time.Time) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for m.flush(ctx) != nil {
		select {
		case <-tick:
		case <-ctx.Done():
			return
		}
	}
}

// flush writes what is pending, oldest first, or puts back what cannot be written.
func (m *Meter) flush(ctx context.Context) error {
	if err := m.acquire(ctx); err != nil {
		return err
	}
	defer m.release()
	m.learn(ctx)
	if err := m.flushKept(ctx); err != nil {
		return err
	}
	return m.flushLoose(ctx)
}

// flushLoose writes what is in memory only.
func (m *Meter) flushLoose(ctx context.Context) error {
	q := &m.pending.loose
	m.mu.Lock()
	m.cutLooseLocked(time.Now())
	m.mu.Unlock()
	for m.waiting(q) > 0 {
		p := m.take(q)
		err := m.store.Count(ctx, p.batch())
		m.report(err)
		if err != nil {
			m.putBack(q, p)
			return err
		}
	}
	return nil
}

// cutLooseLocked cuts behind what has ended so far.
func (m *Meter) cutLooseLocked(now time.Time) {
	m.sumLocked()
	m.pending.loose.cut(now)
}

// waiting is how many portions of a queue wait to be written.
func (m *Meter) waiting(q *queue) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(q.late)
}

func (m *Meter) take(q *queue) portion {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.pending.take(q)
}

func (m *Meter) putBack(q *queue, p portion) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pending.putBack(q, p)
	m.tellLocked()
}

// learn reads, once, which models have a name of their own in the store, so that a restart does not open the door to as
// many new ones. Until it succeeds there is nothing to lose but that.
func (m *Meter) learn(ctx context.Context) {
	if m.learned {
		return
	}
	totals, err := m.store.Totals(ctx)
	if err != nil {
		return
	}
	m.learned = true
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, u := range totals.Usage {
		if u.Kind == state.OfModel && u.ID != other {
			m.names.admit(u.ID)
		}
	}
}

// report counts writes that fail, and logs when they begin to and when they succeed again.
func (m *Meter) report(err error) {
	if err != nil {
		m.failed.Inc()
	}
	switch {
	case err != nil && m.broken == nil:
		m.log.Warn("usage is kept in memory: it cannot be written", "error", err)
	case err == nil && m.broken != nil:
		m.log.Info("usage is written again")
	}
	m.broken = err
}

func (m *Meter) acquire(ctx context.Context) error {
	select {
	case m.writing <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("usage: waiting for a write: %w", ctx.Err())
	}
}

func (m *Meter) release() { <-m.writing }
