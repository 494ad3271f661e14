package admission

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"openai-api-proxy/pkg/state"
)

const (
	// renewEvery is how often running requests are renewed: two renewals may be lost before a slot is.
	renewEvery = 8 * time.Second
	// renewAgain is that after a failure: slots may have ended in an outage that is over now.
	renewAgain = time.Second
	// mostPending bounds the settlements that wait during an outage; the oldest are given up.
	mostPending = 50_000
	// tellAtOnce is how many settlements are told together.
	tellAtOnce = 500
	// gathering is how long settlements are gathered after some were told, unless one of them is pressing. At 500 requests a second
	// twelve go together, which is a trip and two wake-ups less for eleven of them.
	gathering = 25 * time.Millisecond
	// firstPause and lastPause bound the time between two tries to tell.
	firstPause, lastPause = 50 * time.Millisecond, time.Second
	// lastWords is how long the end may wait for what is still to be told.
	lastWords = 3 * time.Second
)

// teller tells the shared state what became of permits, in the background and in order, and renews those that are open.
// It tells at once after a quiet moment, and otherwise what has gathered in one; what is pressing it tells at once always.
type teller struct {
	store    buckets
	log      *slog.Logger
	told     func(subject string) // called after a settlement was heard
	sweep    func(time.Time)      // called every sweepEvery
	metrics  *metrics
	reserved atomic.Int64 // tokens

	mu       sync.Mutex // guards the eight below; not held during calls
	open     map[*Permit]struct{}
	queue    []state.Settlement
	inFlight int // at the front of the queue, being told
	subjects map[string]*subject
	queued   int64         // settlements so far
	heard    int64         // of those, from the first on: they were heard, or given up
	unheard  bool          // the last try to tell failed
	moved    chan struct{} // closed when heard or unheard changes; nil: nobody waits for that

	wake  chan struct{} // capacity 1: something is queued
	hurry chan struct{} // capacity 1: something pressing is
	end   chan struct{}
	done  chan struct{} // closed when all was told, or given up
	once  sync.Once
}

// subject counts the permits of a client in this replica.
type subject struct {
	live   int64 // running
	queued int   // settlements that were not heard yet
	last   int64 // the number of the last of them
}

func newTeller(store buckets, log *slog.Logger, told func(string)) *teller {
	return &teller{store: store, log: log, told: told, open: map[*Permit]struct{}{}, subjects: map[string]*subject{},
		wake: make(chan struct{}, 1), hurry: make(chan struct{}, 1), end: make(chan struct{}), done: make(chan struct{})}
}

func (t *teller) begin(m *metrics, sweep func(time.Time)) {
	t.metrics, t.sweep = m, sweep
	go t.run()
}

// enter notes an admitted permit, unless so many of its client run here already.
func (t *teller) enter(p *Permit, most int64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	about := t.subjectLocked(p.subject)
	if about.live >= most {
		return false
	}
	p.entered = true
	if !p.part {
		about.live++
	}
	t.open[p] = struct{}{}
	t.reserved.Add(p.expected.tokens)
	return true
}

// leave notes that a permit was not given after all.
func (t *teller) leave(p *Permit) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p.entered = false
	t.leaveLocked(p)
	t.forgetLocked(p.subject)
}

func (t *teller) leaveLocked(p *Permit) {
	t.reserved.Add(-p.expected.tokens)
	delete(t.open, p)
	if !p.part {
		t.subjectLocked(p.subject).live--
	}
}

// settle notes that a permit has ended, and tells how. There is no moment at which neither counts.
func (t *teller) settle(p *Permit, s state.Settlement) {
	t.mu.Lock()
	t.leaveLocked(p)
	t.queueLocked(s)
	t.mu.Unlock()
	rouse(t.wake)
	if p.pressing() {
		rouse(t.hurry)
	}
}

func (t *teller) subjectLocked(name string) *subject {
	if t.subjects[name] == nil {
		t.subjects[name] = &subject{}
	}
	return t.subjects[name]
}

// tell queues the settlement of a permit that was not entered.
func (t *teller) tell(s state.Settlement) {
	t.mu.Lock()
	t.queueLocked(s)
	t.mu.Unlock()
	rouse(t.wake)
}

func (t *teller) queueLocked(s state.Settlement) {
	if len(t.queue) >= mostPending {
		t.metrics.lost.Inc()
		if t.inFlight > 0 { // the oldest is being told
			t.forgetLocked(s.Subject)
			return
		}
		t.heardLocked(t.queue[0])
		t.queue = t.queue[1:]
		t.movedLocked()
	}
	t.queue = append(t.queue, s)
	t.queued++
	about := t.subjectLocked(s.Subject)
	about.queued++
	about.last = t.queued
}

func rouse(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// heardLocked forgets a settlement.
func (t *teller) heardLocked(s state.Settlement) {
	t.heard++
	t.subjectLocked(s.Subject).queued--
	t.forgetLocked(s.Subject)
}

// forgetLocked forgets a client of which nothing is left.
func (t *teller) forgetLocked(name string) {
	if about := t.subjects[name]; about != nil && about.queued <= 0 && about.live <= 0 {
		delete(t.subjects, name)
	}
}

func (t *teller) pending() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.queue)
}

// run tells and renews until close.
func (t *teller) run() {
	defer close(t.done)
	renew := time.NewTicker(renewEvery)
	defer renew.Stop()
	sweep := time.NewTicker(sweepEvery)
	defer sweep.Stop()
	var again <-chan time.Time    // when to try again after a failure
	var gathered <-chan time.Time // when to tell what is not pressing
	pause := firstPause
	for {
		wake, hurry := t.wake, t.hurry
		if again != nil {
			wake, hurry = nil, nil
		} else if gathered != nil {
			wake = nil
		}
		select {
		case <-t.end:
			t.finish()
			return
		case <-renew.C:
			renew.Reset(t.renew())
			continue
		case now := <-sweep.C:
			t.sweep(now)
			continue
		case <-gathered:
			gathered = nil
			continue
		case <-wake:
		case <-hurry:
		case <-again:
		}
		gathered, again = time.After(gathering), nil
		some, err := t.tellAll(renew)
		if some {
			pause = firstPause
		}
		if err != nil {
			again = time.After(pause)
			pause = min(2*pause, lastPause)
		}
	}
}

// tellAll tells until nothing is queued, and reports whether anything was told. What runs is renewed meanwhile.
func (t *teller) tellAll(renew *time.Ticker) (some bool, err error) {
	for t.pending() > 0 {
		if err := t.tellSome(context.Background()); err != nil {
			return some, err
		}
		some = true
		select {
		case <-renew.C:
			renew.Reset(t.renew())
		default:
		}
	}
	return some, nil
}

// tellSome tells the front of the queue. After a failure it stays there: what was heard of it is not heard twice.
func (t *teller) tellSome(ctx context.Context) error {
	t.mu.Lock()
	n := min(len(t.queue), tellAtOnce)
	some := slices.Clone(t.queue[:n])
	t.inFlight = n
	t.mu.Unlock()
	err := t.store.Settle(ctx, some)
	t.mu.Lock()
	t.inFlight, t.unheard = 0, err != nil
	t.movedLocked()
	if err == nil {
		t.queue = t.queue[n:]
		for _, s := range some {
			t.heardLocked(s)
		}
	}
	t.mu.Unlock()
	if err != nil {
		t.metrics.late.Add(float64(n))
		return err
	}
	for _, s := range some {
		t.told(s.Subject)
	}
	return nil
}

// renew says which requests go on, and returns when to do so next. It need not be heard every time.
func (t *teller) renew() time.Duration {
	t.mu.Lock()
	held := make([]state.Held, 0, len(t.open))
	for p := range t.open {
		held = append(held, state.Held{Subject: p.subject, Reservation: p.reservation, Slots: p.client.Concurrency > 0 && !p.part})
	}
	t.mu.Unlock()
	if len(held) == 0 {
		return renewEvery
	}
	if err := t.store.Renew(context.Background(), held); err != nil {
		t.log.Debug("running requests were not renewed", "requests", len(held), "error", err)
		return renewAgain
	}
	return renewEvery
}

func (t *teller) finish() {
	ctx, cancel := context.WithTimeout(context.Background(), lastWords)
	defer cancel()
	for t.pending() > 0 && ctx.Err() == nil {
		if t.tellSome(ctx) != nil {
			select {
			case <-ctx.Done():
			case <-time.After(firstPause):
			}
		}
	}
	if n := t.pending(); n > 0 {
		t.metrics.lost.Add(float64(n))
		t.log.Error("what requests really used could not be told; their estimates stay charged", "requests", n)
	}
}

func (t *teller) close() error {
	t.once.Do(func() { close(t.end) })
	<-t.done
	return nil
}
