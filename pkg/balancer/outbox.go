package balancer

import (
	"context"
	"log/slog"
	"time"

	"openai-api-proxy/pkg/state"
)

const (
	// outboxSize bounds what waits to be told; nobody waits for room.
	outboxSize = 4096
	// tellWithin bounds one telling.
	tellWithin = 3 * time.Second
	// lastWords bounds all that is told when the balancer ends.
	lastWords = 2 * time.Second
)

// outbox tells the state what was decided here, in order, off the request path.
type outbox struct {
	store   store
	log     *slog.Logger
	metrics *metrics
	queue   chan func(context.Context) error
}

func newOutbox(s store, log *slog.Logger, m *metrics) *outbox {
	return &outbox{store: s, log: log, metrics: m, queue: make(chan func(context.Context) error, outboxSize)}
}

func (o *outbox) rest(r state.Rest) {
	o.put(func(ctx context.Context) error { return o.store.Rest(ctx, r) })
}

func (o *outbox) wake(s state.Subject) {
	o.put(func(ctx context.Context) error { return o.store.Wake(ctx, s) })
}

func (o *outbox) release(s state.Subject) {
	o.put(func(ctx context.Context) error { return o.store.Release(ctx, s) })
}

// fail adds a failure of a key, and the attempts since the one before, to the fleet's sums, and hands those over.
func (o *outbox) fail(key string, attempts int64, sums func(state.Attempts)) {
	o.put(func(ctx context.Context) error {
		all, err := o.store.Fail(ctx, key, state.Attempts{Attempts: attempts, Failures: 1})
		if err == nil {
			sums(all)
		}
		return err
	})
}

func (o *outbox) put(tell func(context.Context) error) {
	select {
	case o.queue <- tell:
	default:
		o.metrics.undecided.WithLabelValues("outbox").Inc()
	}
}

// run tells until the context ends, and then what is left.
func (o *outbox) run(ctx context.Context) {
	for {
		select {
		case tell := <-o.queue:
			o.tell(context.Background(), tell)
		case <-ctx.Done():
			o.drain()
			return
		}
	}
}

func (o *outbox) drain() {
	ctx, cancel := context.WithTimeout(context.Background(), lastWords)
	defer cancel()
	for {
		select {
		case tell := <-o.queue:
			o.tell(ctx, tell)
		default:
			return
		}
	}
}

func (o *outbox) tell(ctx context.Context, tell func(context.Context) error) {
	ctx, cancel := context.WithTimeout(ctx, tellWithin)
	defer cancel()
	if err := tell(ctx); err != nil {
		o.metrics.undecided.WithLabelValues("outbox").Inc()
		o.log.Debug("not told to the other replicas", "error", err)
	}
}
