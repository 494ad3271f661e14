package admission

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	admitted  prometheus.Counter
	refused   prometheus.Counter
	limits    *prometheus.CounterVec
	undecided prometheus.Counter
	unchecked prometheus.Counter
	overshoot prometheus.Counter
	late      prometheus.Counter
	lost      prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, t *teller) *metrics {
	decisions := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "oap_admission_total",
		Help: "Requests admitted and refused by the limits of their client."}, []string{"decision"})
	settles := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "oap_admission_settle_errors_total",
		Help: "Settlements that were not told at once (late), or never (lost): then the estimate stays charged."}, []string{"kind"})
	m := &metrics{
		admitted: decisions.WithLabelValues("admitted"),
		refused:  decisions.WithLabelValues("refused"),
		limits: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "oap_admission_refused_total",
			Help: "Requests refused, by the kind of limit."}, []string{"limit"}),
		undecided: prometheus.NewCounter(prometheus.CounterOpts{Name: "oap_admission_undecided_total",
			Help: "Decisions made at this replica's share of the limit, because shared state was away."}),
		unchecked: prometheus.NewCounter(prometheus.CounterOpts{Name: "oap_admission_unchecked_total",
			Help: "Requests let pass without asking their quota, because shared state was away and the client says so."}),
		overshoot: prometheus.NewCounter(prometheus.CounterOpts{Name: "oap_admission_overshoot_total",
			Help: "Requests of strict clients that used more than their bound."}),
		late: settles.WithLabelValues("late"),
		lost: settles.WithLabelValues("lost"),
	}
	reg.MustRegister(decisions, settles, m.limits, m.undecided, m.unchecked, m.overshoot,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "oap_admission_reserved_tokens",
			Help: "Tokens charged for running requests and not settled yet."}, func() float64 { return float64(t.reserved.Load()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "oap_admission_settles_pending",
			Help: "Settlements that are still to be told to the shared state."}, func() float64 { return float64(t.pending()) }))
	return m
}

func (m *metrics) refuse(limit string) {
	m.refused.Inc()
	m.limits.WithLabelValues(kindName(limit)).Inc()
}
