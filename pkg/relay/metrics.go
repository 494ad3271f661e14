package relay

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	attempts    *prometheus.CounterVec
	budgetSpent prometheus.Counter
	poison      prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "oap_attempts_total",
			Help: "Attempts at the upstream, by outcome."}, []string{"outcome"}),
		budgetSpent: prometheus.NewCounter(prometheus.CounterOpts{Name: "oap_retry_budget_spent_total",
			Help: "Retries that were not made because the budget for ambiguous ones was spent."}),
		poison: prometheus.NewCounter(prometheus.CounterOpts{Name: "oap_poison_requests_total",
			Help: "Requests that failed alike on two keys, for which no key was blamed."}),
	}
	reg.MustRegister(m.attempts, m.budgetSpent, m.poison)
	return m
}
