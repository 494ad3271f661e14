package admin

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	unlimited prometheus.Counter
	missed    prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, f *feed) *metrics {
	m := &metrics{
		unlimited: prometheus.NewCounter(prometheus.CounterOpts{Name: "oap_admin_limiter_errors_total",
			Help: "Requests to the management API that were let pass because they could not be counted."}),
		missed: prometheus.NewCounter(prometheus.CounterOpts{Name: "oap_admin_events_missed_total",
			Help: "Events that listeners of the management API were too slow to take."}),
	}
	reg.MustRegister(m.unlimited, m.missed, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "oap_admin_listeners",
		Help: "Listeners to the events of the management API."}, func() float64 { return float64(f.count()) }))
	return m
}
