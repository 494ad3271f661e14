package admission

import (
	"log/slog"
	"sync"
	"time"
)

// calm is how long the store must have been without a failure before an outage counts as over. Without it, a store that
// answers every other time would fill the log.
const calm = time.Second

// outage follows the failures of the store, and logs the first and, when they are over, that they are.
type outage struct {
	log *slog.Logger

	mu        sync.Mutex // guards the rest
	since     time.Time  // zero: there is none
	last      time.Time  // the latest failure
	undecided int64      // decisions made without the store
}

// failed notes a decision made without the store.
func (o *outage) failed(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.last = time.Now()
	if o.undecided++; o.undecided == 1 {
		o.since = o.last
		o.log.Warn("limits are kept by each replica at its share: shared state is away", "error", err)
	}
}

// answered notes a decision of the store.
func (o *outage) answered() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.undecided == 0 || time.Since(o.last) < calm {
		return
	}
	o.log.Info("limits are shared again", "since", o.since, "undecided", o.undecided)
	o.since, o.undecided = time.Time{}, 0
}
