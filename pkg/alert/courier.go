package alert

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"openai-api-proxy/pkg/proxy"
)

const (
	// mostWaiting bounds the alerts that wait for the webhook. What does not fit is not sent.
	mostWaiting = 1000
	// mostInBody bounds the alerts of one call.
	mostInBody = 100
	// tries is how often the webhook is called for the same alerts.
	tries = 3
	// defaultBackoff is the pause before the second try; before the third it is five times as long.
	defaultBackoff = time.Second
	// lastCalls bounds the calls that are made at the end, for what waits then.
	lastCalls = 3 * time.Second
)

// courier calls the webhook, one call at a time. Nobody waits for it.
type courier struct {
	webhook func() proxy.Secret
	post    *post
	backoff time.Duration
	log     *slog.Logger
	results *prometheus.CounterVec

	waiting chan Alert
	ctx     context.Context // of all calls; canceled a while after close
	cancel  context.CancelFunc
	ending  chan struct{} // closed by close
	once    sync.Once
	done    sync.WaitGroup
}

func newCourier(webhook func() proxy.Secret, backoff time.Duration, log *slog.Logger, metrics prometheus.Registerer) *courier {
	c := &courier{webhook: webhook, post: newPost(), backoff: backoff, log: log, waiting: make(chan Alert, mostWaiting), ending: make(chan struct{}),
		results: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "oap_alert_deliveries_total",
			Help: "Alerts for the webhook: delivered, failed after three tries, or dropped because too many waited."}, []string{"result"})}
	for _, r := range []string{"delivered", "failed", "dropped"} {
		c.results.WithLabelValues(r)
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	metrics.MustRegister(c.results, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "oap_alerts_waiting",
		Help: "Alerts that wait for the webhook."}, func() float64 { return float64(len(c.waiting)) }))
	c.done.Go(c.run)
	return c
}

// close sends what waits, once, and ends within a few seconds.
func (c *courier) close() {
	c.once.Do(func() { close(c.ending) })
	defer time.AfterFunc(lastCalls, c.cancel).Stop()
	c.done.Wait()
	c.cancel()
	c.post.close()
}

// send queues an alert, if there is a webhook. It never waits.
func (c *courier) send(a Alert) {
	if c.webhook().IsZero() {
		return
	}
	select {
	case c.waiting <- a:
	default:
		c.results.WithLabelValues("dropped").Inc()
		c.log.Error("an alert is not sent: too many wait for the webhook", "event", a.Event, "id", a.ID)
	}
}

func (c *courier) run() {
	for {
		select {
		case a := <-c.waiting:
			c.deliver(c.batch(a))
		case <-c.ending:
			c.last()
			return
		}
	}
}

// ErrNoWebhook means that none is configured.
var ErrNoWebhook = errors.New("no webhook is configured for alerts")

// test makes one call, now.
func (c *courier) test(ctx context.Context, a Alert) error {
	if c.webhook().IsZero() {
		return ErrNoWebhook
	}
	return c.post.call(ctx, c.webhook(), []Alert{a})
}

// batch is an alert and those that wait behind it.
func (c *courier) batch(a Alert) []Alert {
	all := []Alert{a}
	for len(all) < mostInBody {
		select {
		case a := <-c.waiting:
			all = append(all, a)
		default:
			return all
		}
	}
	return all
}

// deliver calls the webhook until it takes the alerts, three times at most.
func (c *courier) deliver(all []Alert) {
	var err error
	for n, pause := 1, c.backoff; ; n, pause = n+1, 5*pause {
		err = c.post.call(c.ctx, c.webhook(), all)
		var no refusal
		if err == nil || n == tries || errors.As(err, &no) && no.final() {
			break
		}
		c.log.Warn("the webhook for alerts did not take them; it is called again", "try", n, "alerts", len(all), "error", err)
		select {
		case <-time.After(pause):
		case <-c.ending:
			n, pause = tries-1, 0 // once more, at once
		}
	}
	c.count(all, err)
}

// last is one call for what waits at the end.
func (c *courier) last() {
	for {
		select {
		case a := <-c.waiting:
			all := c.batch(a)
			c.count(all, c.post.call(c.ctx, c.webhook(), all))
		default:
			return
		}
	}
}

func (c *courier) count(all []Alert, err error) {
	if err == nil {
		c.results.WithLabelValues("delivered").Add(float64(len(all)))
		return
	}
	c.results.WithLabelValues("failed").Add(float64(len(all)))
	ids := make([]string, len(all))
	for i, a := range all {
		ids[i] = a.ID
	}
	c.log.Error("the webhook for alerts did not take them", "alerts", ids, "error", err)
}
