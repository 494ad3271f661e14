package alert

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
)

const (
	// defaultEvery is how often is looked. A look at very many keys may take long: it is never more than a fiftieth of the time.
	defaultEvery = time.Second
	restOfLook   = 50
	// defaultLasts is how long a pool must be without a usable key before that is told.
	defaultLasts = 5 * time.Second
	// defaultWell is how long something must be over before that is told: what comes and goes is told as one.
	defaultWell = 30 * time.Second
	// adoptEvery is after how many looks is asked what lasts that this replica did not see, and old names are forgotten.
	adoptEvery = 60
	// lookWithin bounds the questions of one look to the state.
	lookWithin = 5 * time.Second
	// mostAsked bounds how many names one look asks for; the others wait.
	mostAsked = 1000
	// mostKnown bounds the names of quotas that are known to be told, and those that wait; beyond it the state is asked again, or
	// the next request brings them back.
	mostKnown = 50_000
	// extra is how long a quota's name is held beyond the end of its period: clocks differ.
	extra = time.Hour
	// longestPeriod is how long the name of a quota without an end is held.
	longestPeriod = 400 * 24 * time.Hour
)

// Settings may change while it runs.
type Settings struct {
	Shares  []int64      // of a quota that are told of, in thousandths
	Webhook proxy.Secret // zero: there is none
}

// Options are the parts of a Watch. All are needed, but for the times.
type Options struct {
	Store    state.Alerts
	Ready    func() bool // what the fleet knows is known here; nothing is looked at before
	Settings func() Settings
	Keys     func() iter.Seq[Key]
	Quotas   func(context.Context) []Quota // that changed since the last call
	Replica  string
	Log      *slog.Logger
	Metrics  prometheus.Registerer

	Every, Lasts, Well, Backoff time.Duration // 0: a second, five, thirty, one; for tests
}

// Watch looks and tells, until Close.
type Watch struct {
	Options
	courier *courier
	told    *prometheus.CounterVec

	// Only the goroutine that looks uses these.
	lasting map[string]*lasting
	known   map[string]time.Time // names of quotas that somebody told, and until when they are of interest
	owed    map[string]*owed     // that are to be told
	looks   int64
	took    time.Duration // the last look at the keys
	number  int64         // of the last token

	end  context.CancelFunc
	done sync.WaitGroup
}

// New makes a Watch and lets it look.
func New(o Options) *Watch {
	w := newWatch(o)
	ctx, end := context.WithCancel(context.Background())
	w.end = end
	w.done.Go(func() { w.run(ctx) })
	return w
}

// newWatch makes a Watch that looks when it is told to.
func newWatch(o Options) *Watch {
	for _, d := range []struct {
		at    *time.Duration
		usual time.Duration
	}{{&o.Every, defaultEvery}, {&o.Lasts, defaultLasts}, {&o.Well, defaultWell}, {&o.Backoff, defaultBackoff}} {
		if *d.at == 0 {
			*d.at = d.usual
		}
	}
	w := &Watch{Options: o, lasting: map[string]*lasting{}, known: map[string]time.Time{}, owed: map[string]*owed{}}
	w.told = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "oap_alerts_total",
		Help: "Alerts that this replica told, by event."}, []string{"event"})
	o.Metrics.MustRegister(w.told)
	w.courier = newCourier(func() proxy.Secret { return o.Settings().Webhook }, o.Backoff, o.Log, o.Metrics)
	return w
}

// Close ends the looking and sends what waits, for a few seconds at most.
func (w *Watch) Close() error {
	if w.end != nil {
		w.end()
	}
	w.done.Wait()
	w.courier.close()
	return nil
}

// TryWebhook calls the webhook with an alert that says that it is a test, once and now. The error is ErrNoWebhook, or says what went
// wrong without the URL.
func (w *Watch) TryWebhook(ctx context.Context) error {
	a := Alert{Event: Test, Text: "this is a test of the webhook for alerts"}
	return w.courier.test(ctx, w.complete(a, w.Replica+"-test-"+strconv.FormatInt(time.Now().UnixMilli(), 36), time.Now()))
}

func (w *Watch) run(ctx context.Context) {
	for {
		w.look(time.Now())
		select {
		case <-ctx.Done():
			return
		case <-time.After(max(w.Every, restOfLook*w.took)):
		}
	}
}

// look is one look. It is not ended by Close: a name that it got must be told.
func (w *Watch) look(now time.Time) {
	if !w.Ready() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookWithin)
	defer cancel()
	begin := time.Now()
	w.see(now)
	w.took = time.Since(begin)
	w.read(ctx, now)
	if w.looks%adoptEvery == 1 {
		if names, err := w.Store.Lasting(ctx); err == nil {
			w.adopt(names, now)
		}
	}
	w.ask(ctx, now)
}

// ask asks the state who tells of what was found. After a question that it did not answer none is asked any more in this look.
func (w *Watch) ask(ctx context.Context, now time.Time) {
	away, asked := false, 0
	for name, l := range w.lasting {
		switch {
		case !l.gone.IsZero() && now.Sub(l.gone) >= w.Well:
			if !away && asked < mostAsked {
				asked++
				away = !w.finish(ctx, name, l, now)
			}
		case l.gone.IsZero() && !l.told && now.Sub(l.since) >= w.delay(name) && asked < mostAsked:
			asked++
			away = !w.start(ctx, name, l, now, away)
		}
	}
	for name, o := range w.owed {
		if asked++; asked > mostAsked {
			return
		}
		away = !w.share(ctx, name, o, now, away)
	}
}

func (w *Watch) token() string {
	w.number++
	return w.Replica + "-" + strconv.FormatInt(time.Now().UnixMilli(), 36) + "-" + strconv.FormatInt(w.number, 36)
}

// start tells that something lasts, if nobody did. It reports whether the state answered.
func (w *Watch) start(ctx context.Context, name string, l *lasting, now time.Time, away bool) bool {
	if l.token == "" {
		l.token = w.token()
	}
	a := w.complete(begun(name), l.token, now)
	first, err := false, error(state.ErrUnavailable)
	if !away {
		first, err = w.Store.Tell(ctx, state.Alert{Name: name, Text: text(a)}, l.token, 0)
	}
	if err != nil {
		w.alone(a, &l.logged, err)
		return false
	}
	if l.told, l.token = true, ""; first {
		w.tell(a)
	}
	return true
}

// finish tells that it is over, if nobody did. It reports whether the state answered.
func (w *Watch) finish(ctx context.Context, name string, l *lasting, now time.Time) bool {
	if l.token == "" {
		l.token = w.token()
	}
	a := w.complete(ended(name), l.token, now)
	first, err := w.Store.End(ctx, state.Alert{Name: name, Text: text(a)}, l.token)
	if err != nil {
		return false
	}
	delete(w.lasting, name)
	if first {
		w.tell(a)
	}
	return true
}

// complete adds what all alerts have.
func (w *Watch) complete(a Alert, id string, now time.Time) Alert {
	a.ID, a.At, a.Replica = id, now.UTC().Truncate(time.Millisecond), w.Replica
	return a
}

func text(a Alert) []byte {
	b, err := json.Marshal(a)
	if err != nil { // it has texts and numbers only
		return []byte("{}")
	}
	return b
}

// alone says in the log, once, what cannot be told: nobody knows who else does.
func (w *Watch) alone(a Alert, logged *bool, err error) {
	if *logged {
		return
	}
	*logged = true
	if !errors.Is(err, state.ErrUnavailable) {
		w.Log.Error("an alert cannot be told", "event", a.Event, "text", a.Text, "error", err)
		return
	}
	w.Log.Warn("alert, in this log only: the shared state does not answer", "event", a.Event, "text", a.Text)
}

// tell is for the one replica of the fleet that tells.
func (w *Watch) tell(a Alert) {
	w.told.WithLabelValues(string(a.Event)).Inc()
	w.Log.Warn("alert", "event", a.Event, "text", a.Text, "id", a.ID)
	w.courier.send(a)
}
