package balancer

import (
	"context"
	"log/slog"
	"sync/atomic"
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

// outbox tells the state what was decided here, in order, off the request path. What the state did not hear is told again
// until it has: of each subject the latest, since that is all that counts.
type outbox struct {
	store   store
	log     *slog.Logger
	metrics *metrics
	queue   chan message
	untold  map[state.Subject]message // only run uses it
	spared  atomic.Int64              // unix ns up to which the room for spare messages is taken
}

// message is something to tell. One without a subject is not told again.
type message struct {
	of   state.Subject
	tell func(context.Context) error
}

// againEvery is the time between two tries to tell what was not heard.
const againEvery = time.Second

func newOutbox(s store, log *slog.Logger, m *metrics) *outbox {
	return &outbox{store: s, log: log, metrics: m, queue: make(chan message, outboxSize), untold: map[state.Subject]message{}}
}

func (o *outbox) rest(r state.Rest) {
	o.put(message{r.Subject, func(ctx context.Context) error { return o.store.Rest(ctx, r) }})
}

const (
	// spareEvery is the time between two messages that can be done without, in the long run.
	spareEvery = 10 * time.Millisecond
	// spareAtOnce is how many of them may go at once.
	spareAtOnce = 50
)

// spare reports whether there is room for a message that can be done without: next to nothing waits, and there were not too
// many of them lately. With hundreds of accounts close to their limits at once, every replica would else read the list of
// rests thousands of times a second.
func (o *outbox) spare(now time.Time) bool {
	if len(o.queue) > spareAtOnce {
		return false
	}
	const most = int64(spareAtOnce * spareEvery)
	for {
		until := o.spared.Load()
		next := max(until, now.UnixNano()) + int64(spareEvery)
		if next > now.UnixNano()+most {
			return false
		}
		if o.spared.CompareAndSwap(until, next) {
			return true
		}
	}
}

func (o *outbox) wake(s state.Subject) {
	o.put(message{s, func(ctx context.Context) error { return o.store.Wake(ctx, s) }})
}

func (o *outbox) release(s state.Subject, released func()) {
	o.put(message{tell: func(ctx context.Context) error {
		err := o.store.Release(ctx, s)
		if err == nil {
			released()
		}
		return err
	}})
}

// fail adds a failure of a key, and the attempts since the one before, to the fleet's sums, and hands those over.
func (o *outbox) fail(key string, attempts int64, sums func(state.Attempts)) {
	o.put(message{tell: func(ctx context.Context) error {
		all, err := o.store.Fail(ctx, key, state.Attempts{Attempts: attempts, Failures: 1})
		if err == nil {
			sums(all)
		}
		return err
	}})
}

func (o *outbox) put(m message) {
	select {
	case o.queue <- m:
	default:
		o.metrics.undecided.WithLabelValues("outbox").Inc()
	}
}

// run tells until the context ends, and then what is left.
func (o *outbox) run(ctx context.Context) {
	again := time.NewTicker(againEvery)
	defer again.Stop()
	for {
		select {
		case m := <-o.queue:
			o.tell(context.Background(), m)
		case <-again.C:
			o.tellAgain()
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
		case m := <-o.queue:
			o.tell(ctx, m)
		default:
			return
		}
	}
}

// tell says one message and reports whether it was heard.
func (o *outbox) tell(ctx context.Context, m message) bool {
	ctx, cancel := context.WithTimeout(ctx, tellWithin)
	defer cancel()
	err := m.tell(ctx)
	if err == nil {
		delete(o.untold, m.of)
		return true
	}
	o.metrics.undecided.WithLabelValues("outbox").Inc()
	o.log.Debug("not told to the other replicas", "error", err)
	if _, known := o.untold[m.of]; m.of.Scope != "" && (known || len(o.untold) < outboxSize) {
		o.untold[m.of] = m
	}
	return false
}

// tellAgain tells what was not heard, until the first that is not heard again.
func (o *outbox) tellAgain() {
	for _, m := range o.untold {
		if !o.tell(context.Background(), m) {
			return
		}
	}
}
