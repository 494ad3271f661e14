package auth

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
)

// waiting is what the state has not heard yet, in order.
type waiting struct {
	store store
	log   *slog.Logger

	mu    sync.Mutex // guards queue, count and told
	queue []news
	count int  // objects in it
	told  bool // that something waits

	wake chan struct{}
	end  context.CancelFunc
	done chan struct{} // closed when nothing is told any more
}

// news is what became of some objects of one owner.
type news struct {
	owner string
	kept  []proxy.Object
	gone  []proxy.ObjectID
}

func (n news) size() int { return len(n.kept) + len(n.gone) }

const (
	// mostWaiting bounds the objects that wait; beyond it the oldest are given up.
	mostWaiting = 10_000
	// tellEvery is the time between two tries.
	tellEvery = 500 * time.Millisecond
	// lastWord bounds the try at the end.
	lastWord = time.Second
)

func newWaiting(s store, log *slog.Logger) *waiting {
	w := &waiting{store: s, log: log, wake: make(chan struct{}, 1), done: make(chan struct{})}
	var ctx context.Context
	ctx, w.end = context.WithCancel(context.Background())
	go w.run(ctx)
	return w
}

// after tells news at once, or later if that fails, or if something of the owner waits before it.
func (w *waiting) after(n news, tell func() error) {
	if w.has(n.owner) {
		w.add(n, nil)
	} else if err := tell(); err != nil {
		w.add(n, err)
	}
}

func (w *waiting) add(n news, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.told {
		w.told = true
		w.log.Warn("whose some stored objects are is told to the shared state later", "error", err)
	}
	w.queue, w.count = append(w.queue, n), w.count+n.size()
	lost := 0
	for w.count > mostWaiting && len(w.queue) > 1 {
		lost += w.queue[0].size()
		w.count -= w.queue[0].size()
		w.queue = w.queue[1:]
	}
	if lost > 0 {
		w.log.Error("some stored objects have no owner now: too many waited to be told; an operator can adopt them", "objects", lost)
	}
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *waiting) size() float64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return float64(w.count)
}

// has reports whether something of the owner waits.
func (w *waiting) has(owner string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range w.queue {
		if n.owner == owner {
			return true
		}
	}
	return false
}

// find is what is known here of the ids, those that are gone without an account, and whether that is all of them.
func (w *waiting) find(owner string, ids []proxy.ObjectID) (here map[proxy.ObjectID]proxy.Object, all bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.queue) == 0 {
		return nil, false
	}
	wanted := make(map[proxy.ObjectID]bool, len(ids))
	for _, id := range ids {
		wanted[id] = true
	}
	here = map[proxy.ObjectID]proxy.Object{}
	for _, n := range w.queue {
		if n.owner != owner {
			continue
		}
		for _, o := range n.kept {
			if wanted[o.ObjectID] {
				here[o.ObjectID] = o
			}
		}
		for _, id := range n.gone {
			if wanted[id] {
				here[id] = proxy.Object{ObjectID: id}
			}
		}
	}
	return here, len(here) == len(wanted)
}

// run tells what waits, until the end and then once more.
func (w *waiting) run(ctx context.Context) {
	defer close(w.done)
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-w.wake:
		}
		for ctx.Err() == nil && !w.tell(ctx) {
			select {
			case <-ctx.Done():
			case <-time.After(tellEvery):
			}
		}
	}
	last, cancel := context.WithTimeout(context.Background(), lastWord)
	defer cancel()
	w.tell(last)
}

// tell tells what waits, the oldest first, and reports whether nothing waits any more.
func (w *waiting) tell(ctx context.Context) bool {
	for {
		w.mu.Lock()
		if len(w.queue) == 0 {
			if w.told {
				w.log.Info("the shared state knows whose all stored objects are")
			}
			w.queue, w.told = nil, false
			w.mu.Unlock()
			return true
		}
		n := w.queue[0]
		w.mu.Unlock()
		var err error
		if len(n.kept) > 0 {
			err = w.store.KeepObjects(ctx, n.owner, n.kept)
		} else {
			err = w.store.ForgetObjects(ctx, n.owner, n.gone)
		}
		if err != nil && (errors.Is(err, state.ErrUnavailable) || ctx.Err() != nil) {
			return false
		}
		w.took(n, err)
	}
}

// took takes what was told from the queue, unless it was given up meanwhile.
func (w *waiting) took(n news, err error) {
	if err != nil {
		w.log.Error("the shared state does not take whose an object is", "owner", n.owner, "error", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.queue) > 0 && sameNews(w.queue[0], n) {
		w.queue, w.count = w.queue[1:], w.count-n.size()
	}
}

func sameNews(a, b news) bool {
	switch {
	case len(a.kept) > 0 && len(b.kept) > 0:
		return &a.kept[0] == &b.kept[0]
	case len(a.gone) > 0 && len(b.gone) > 0:
		return &a.gone[0] == &b.gone[0]
	default:
		return false
	}
}

func (w *waiting) close() {
	w.end()
	<-w.done
}
