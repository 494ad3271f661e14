package usage

import "github.com/prometheus/client_golang/prometheus"

// metrics are those of one Meter.
type metrics struct {
	failed    prometheus.Counter
	forgotten prometheus.Counter
	unkept    prometheus.Counter
	replayed  prometheus.Counter
	damaged   prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, bytes func() float64) metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	m := metrics{
		failed: counter("oap_usage_flush_errors_total", "Writes of usage that failed and were put off."),
		forgotten: counter("oap_usage_requests_forgotten_total",
			"Finished requests that were counted but are not among those that can be looked up: the state was away too long."),
		unkept: counter("oap_usage_unjournaled_total",
			"Finished requests that were counted in memory only, because the journal was full or could not be written."),
		replayed: counter("oap_usage_replayed_total", "Requests that processes which ended had not counted, sent to the state by this one."),
		damaged: counter("oap_usage_journal_damaged_total",
			"Requests in journals of processes which ended that could not be read, or were too old to tell whether they were counted."),
	}
	reg.MustRegister(m.failed, m.forgotten, m.unkept, m.replayed, m.damaged, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "oap_usage_journal_bytes", Help: "Bytes of this replica's journal of finished requests."}, bytes))
	return m
}

func (m *Meter) journalBytes() float64 {
	if j := m.own.Load(); j != nil {
		return float64(j.Bytes())
	}
	return 0
}
