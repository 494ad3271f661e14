package relay

import (
	"github.com/prometheus/client_golang/prometheus"

	"openai-api-proxy/pkg/proxy"
)

type metrics struct {
	attempts    [proxy.OutcomeCount]prometheus.Counter // a vector would hash the label for each of them
	budgetSpent prometheus.Counter
	poison      prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	attempts := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "oap_attempts_total",
		Help: "Attempts at the upstream, by outcome."}, []string{"outcome"})
	m := &metrics{
		budgetSpent: prometheus.NewCounter(prometheus.CounterOpts{Name: "oap_retry_budget_spent_total",
			Help: "Retries that were not made because the budget for ambiguous ones was spent."}),
		poison: prometheus.NewCounter(prometheus.CounterOpts{Name: "oap_poison_requests_total",
			Help: "Requests that failed alike on two keys, for which no key was blamed."}),
	}
	for o := range proxy.OutcomeCount {
		m.attempts[o] = attempts.WithLabelValues(o.String())
	}
	reg.MustRegister(attempts, m.budgetSpent, m.poison)
	return m
}

func (m *metrics) attempt(o proxy.Outcome) { m.attempts[o].Inc() }
