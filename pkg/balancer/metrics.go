package balancer

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	rests     *prometheus.CounterVec
	undecided *prometheus.CounterVec
	checks    *prometheus.CounterVec
	limited   *prometheus.CounterVec
	asks      *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		rests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "oap_key_rests_total",
			Help: "Rests begun, by reason."}, []string{"reason"}),
		undecided: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "oap_state_undecided_total",
			Help: "Decisions made here alone because the shared state did not answer, by what was decided."}, []string{"what"}),
	}
	m.checks = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "oap_key_checks_total",
		Help: "Times that the upstream was asked whether it accepts a key, by hand or because it was idle, by outcome."}, []string{"outcome"})
	m.limited = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "oap_key_limited_total",
		Help: "Times that a key was passed over for a limit of its own or of its account, by the kind of limit."}, []string{"limit"})
	m.asks = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "oap_key_limit_asks_total",
		Help: "Times that the state was asked for a part of a limit of a key or account: by a request that waited, or ahead of need."},
		[]string{"by"})
	reg.MustRegister(m.rests, m.undecided, m.checks, m.limited, m.asks)
	return m
}

// limit counts a key that was passed over for a limit, by its kind: "tokens/month" is tokens.
func (m *metrics) limit(name string) {
	kind, _, _ := strings.Cut(name, "/")
	m.limited.WithLabelValues(kind).Inc()
}

// keySeries is the largest number of keys of which each has a series of its own.
const keySeries = 1000

var (
	keysDesc = prometheus.NewDesc("oap_keys", "Keys by state.", []string{"state"}, nil)
	keyDesc  = prometheus.NewDesc("oap_key_state", "1 for the state that a key is in; only up to 1000 keys.", []string{"key", "state"}, nil)
)

// collector reads the states when it is asked.
type collector struct{ b *Balancer }

func (c *collector) Describe(out chan<- *prometheus.Desc) {
	out <- keysDesc
	out <- keyDesc
}

func (c *collector) Collect(out chan<- prometheus.Metric) {
	states := c.b.States()
	counts := map[string]int{Active: 0, HalfOpen: 0, Disabled: 0, "cooling": 0, "open": 0, "exhausted": 0, "invalid": 0, "limited": 0}
	for _, s := range states {
		counts[s.State]++
		if len(states) <= keySeries {
			out <- prometheus.MustNewConstMetric(keyDesc, prometheus.GaugeValue, 1, s.Key.ID, s.State)
		}
	}
	for state, n := range counts {
		out <- prometheus.MustNewConstMetric(keysDesc, prometheus.GaugeValue, float64(n), state)
	}
}
