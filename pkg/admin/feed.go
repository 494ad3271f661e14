package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"openai-api-proxy/pkg/proxy"
)

// The types of events.
const (
	keyEvent     = "key"     // the state of a key changed
	configEvent  = "config"  // another configuration is in force, or one that is not
	requestEvent = "request" // a request finished, anywhere in the fleet
	stateEvent   = "state"   // the shared state is away, or back
	replicaEvent = "replica" // a replica joined or left
	alertEvent   = "alert"   // operators were told of something, by any replica
)

var eventTypes = []string{keyEvent, configEvent, requestEvent, stateEvent, replicaEvent, alertEvent}

const (
	// mostListeners bounds the listeners of this replica.
	mostListeners = 32
	// mostQueued bounds the events that wait for one listener.
	mostQueued = 1024
)

// feed tells listeners what happens. What they hear is found out by one poller for all of them, which runs while there is
// one: the first listener starts it, the last one ends it.
type feed struct {
	api   *API
	every time.Duration // how often the poller looks
	gone  chan struct{} // closed by close

	mu        sync.Mutex // guards the rest; not held while anything is asked
	listeners map[*listener]struct{}
	poller    *poller // nil: none runs
	closed    bool
	number    int64 // of the last event

	polling sync.WaitGroup
}

// listener is one stream.
type listener struct {
	types  []string // those it wants
	queue  chan []byte
	missed atomic.Int64 // events that found the queue full since it was told last
}

func newFeed(a *API) *feed {
	return &feed{api: a, every: time.Second, gone: make(chan struct{}), listeners: map[*listener]struct{}{}}
}

// join makes a listener. It must leave.
func (f *feed) join(types []string) (*listener, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, &proxy.Fault{Kind: proxy.StateUnavailable, RetryAfter: time.Second, Public: "the proxy is stopping"}
	}
	if len(f.listeners) >= mostListeners {
		return nil, &proxy.Fault{Kind: proxy.RateLimited, RetryAfter: 5 * time.Second,
			Public: fmt.Sprintf("there are %d listeners already", mostListeners)}
	}
	l := &listener{types: types, queue: make(chan []byte, mostQueued)}
	f.listeners[l] = struct{}{}
	if f.poller == nil {
		ctx, end := context.WithCancel(context.Background())
		p := &poller{feed: f, api: f.api, end: end}
		f.poller = p
		f.polling.Go(func() { p.run(ctx) })
	}
	return l, nil
}

func (f *feed) leave(l *listener) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.listeners, l)
	if len(f.listeners) == 0 && f.poller != nil {
		f.poller.end()
		f.poller = nil
	}
}

// close ends all streams and the poller, and waits for the latter.
func (f *feed) close() {
	f.mu.Lock()
	if !f.closed {
		f.closed = true
		close(f.gone)
	}
	if f.poller != nil {
		f.poller.end()
		f.poller = nil
	}
	f.mu.Unlock()
	f.polling.Wait()
}

func (f *feed) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.listeners)
}

// wants reports whether anybody listens to the type.
func (f *feed) wants(kind string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for l := range f.listeners {
		if slices.Contains(l.types, kind) {
			return true
		}
	}
	return false
}

// tell queues an event for all who want it. It never waits for one of them: whoever is too slow is told how many it missed.
func (f *feed) tell(by *poller, kind string, data any) {
	text, err := json.Marshal(data)
	if err != nil {
		f.api.Log.Error("an event cannot be told", "type", kind, "error", err)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.poller != by { // one that has been ended, and has not noticed
		return
	}
	f.number++
	frame := fmt.Appendf(nil, "event: %s\nid: %d\ndata: %s\n\n", kind, f.number, text)
	for l := range f.listeners {
		if !slices.Contains(l.types, kind) {
			continue
		}
		select {
		case l.queue <- frame:
		default:
			l.missed.Add(1)
			f.api.metrics.missed.Inc()
		}
	}
}
