package admission

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	admitted  prometheus.Counter
	refused   prometheus.Counter
	undecided prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	decisions := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "oap_admission_total",
		Help: "Requests admitted and refused by the limits of their client."}, []string{"decision"})
	m := &metrics{
		admitted: decisions.WithLabelValues("admitted"),
		refused:  decisions.WithLabelValues("refused"),
		undecided: prometheus.NewCounter(prometheus.CounterOpts{Name: "oap_admission_undecided_total",
			Help: "Decisions made at this replica's share of the limit, because shared state was away."}),
	}
	reg.MustRegister(decisions, m.undecided)
	return m
}
