package catalog

import "github.com/prometheus/client_golang/prometheus"

type metrics struct{ changes *prometheus.CounterVec }

func newMetrics(reg prometheus.Registerer, c *Catalog) *metrics {
	m := &metrics{changes: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "oap_catalog_changes_total",
		Help: "Changes that operators made through this replica, by what they did."}, []string{"action"})}
	reg.MustRegister(m.changes,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "oap_catalog_version",
			Help: "Version of what is configured at run time, as this replica has it."},
			func() float64 { return float64(c.Current().Version) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "oap_catalog_unreadable",
			Help: "Items configured at run time that cannot be used, for want of their encryption key or because they are broken."},
			func() float64 { return float64(c.Current().Unreadable) }))
	return m
}
