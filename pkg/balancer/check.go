package balancer

import (
	"context"
	"time"

	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
)

// Check asks the upstream whether it accepts a key, with a request that costs nothing, and takes over what it says: a key
// that was invalid or failing and is accepted is back, one that is not accepted is put aside. known is false when there is
// no such key.
func (b *Balancer) Check(ctx context.Context, id string) (v proxy.Verdict, took time.Duration, known bool) {
	k := b.view.Load().find(id)
	if k == nil || b.Confirm == nil {
		return v, 0, false
	}
	start := time.Now()
	v = b.Confirm(ctx, k.Key)
	b.checked(k, v)
	return v, time.Since(start), true
}

// checked takes over what the upstream said of a key that it was asked about. Credit and rate limits are not told that way.
func (b *Balancer) checked(k *key, v proxy.Verdict) {
	b.metrics.checks.WithLabelValues(v.Outcome.String()).Inc()
	switch v.Outcome {
	case proxy.Served:
		k.used.Store(time.Now().UnixNano())
		if reason := k.rest.current().Reason; reason == proxy.Invalid || reason == proxy.Open {
			b.wakeKey(k)
		}
	case proxy.KeyRejected:
		if !b.lastUsable(k) {
			b.put(k.subject(), proxy.Invalid, v)
		}
	}
}

// wakeKey ends the rest of a key and closes its breaker, here and for the fleet.
func (b *Balancer) wakeKey(k *key) {
	if k.rest.clear() {
		k.breaker.reset()
		b.Log.Info("back", "scope", proxy.ByKey, "subject", k.ID)
		b.outbox.wake(k.subject())
	}
}

// Reset ends by hand all that keeps a key from being used: its own rest, its breaker, and the rests of its account, also for
// single models. It reports whether there is such a key.
func (b *Balancer) Reset(id string) bool {
	k := b.view.Load().find(id)
	if k == nil {
		return false
	}
	k.breaker.reset()
	b.wakeKey(k)
	if k.account.rest.clear() {
		b.outbox.wake(k.account.subject())
	}
	for _, model := range k.account.pace.slowed.names() {
		if k.account.pace.slowed.clear(model) {
			b.outbox.wake(k.account.pacedAt(model))
		}
	}
	for _, model := range k.account.models.names() {
		if k.account.models.clear(model) {
			b.outbox.wake(state.Subject{Scope: proxy.ByModel, ID: k.account.id, Model: model})
		}
	}
	return true
}

// names are the models that rest.
func (m *restsByModel) names() (all []string) {
	m.each(func(r state.Rest) { all = append(all, r.Model) })
	return all
}

const (
	// checksPerSecond bounds how often a fleet looks after idle keys.
	checksPerSecond = 10
	// idleScope names the right of one replica to look after a key, for as long as it may be idle.
	idleScope proxy.Scope = "idle"
)

// lookAfter asks about keys that nobody has used for a while, so that one that was revoked or came back is known before a
// caller needs it. One replica of the fleet asks about each key.
func (b *Balancer) lookAfter() {
	tick := time.NewTicker(time.Second / checksPerSecond)
	defer tick.Stop()
	turn, ticks := 0, 0
	for {
		select {
		case <-b.ctx.Done():
			return
		case <-tick.C:
		}
		ticks++
		if b.Replicas != nil && ticks%max(b.Replicas(), 1) != 0 {
			continue
		}
		v := b.view.Load()
		if v.CheckIdle > 0 && len(v.keys) > 1 {
			turn = b.checkNext(v, turn)
		}
	}
}

// checkNext asks about the next key that is due, looking at some of them at most, and returns where to go on.
func (b *Balancer) checkNext(v *View, turn int) int {
	const looks = 1000
	now := time.Now()
	for range min(looks, len(v.keys)) {
		turn++
		k := v.keys[turn%len(v.keys)]
		if !k.due(now, v.CheckIdle) {
			continue
		}
		k.asked.Store(now.UnixNano())
		ctx, cancel := context.WithTimeout(b.ctx, asideWhile)
		won, err := b.Store.Claim(ctx, state.Subject{Scope: idleScope, ID: k.ID}, v.CheckIdle)
		if err == nil && won {
			b.checked(k, b.Confirm(ctx, k.Key))
		}
		cancel()
		return turn
	}
	return turn
}

// due reports whether nothing was heard of a key for so long. One that rests is left alone until the rest is over.
func (k *key) due(now time.Time, idle time.Duration) bool {
	if !k.Enabled || !k.Expires.IsZero() && !now.Before(k.Expires) || now.UnixNano() < k.rest.until.Load() {
		return false
	}
	return now.Sub(time.Unix(0, max(k.used.Load(), k.asked.Load(), k.since))) >= idle
}
