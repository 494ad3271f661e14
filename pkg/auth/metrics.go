package auth

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	failures      *prometheus.CounterVec
	limiterErrors prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "oap_auth_failures_total",
			Help: "Credentials refused, of clients and operators, by cause."}, []string{"cause"}),
		limiterErrors: prometheus.NewCounter(prometheus.CounterOpts{Name: "oap_auth_limiter_errors_total",
			Help: "Failed authentications that could not be counted against their address."}),
	}
	reg.MustRegister(m.failures, m.limiterErrors)
	return m
}
