package edge

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"openai-api-proxy/pkg/proxy"
)

// modelLabels bounds the models that have a series of their own: their names come from callers.
const modelLabels = 100

// otherModels counts for those that have none.
const otherModels = "other"

type metrics struct {
	requests  *prometheus.CounterVec
	duration  *prometheus.HistogramVec
	firstByte *prometheus.HistogramVec
	tokens    *prometheus.CounterVec
	cost      *prometheus.CounterVec
	unpriced  *prometheus.CounterVec
	retries   prometheus.Counter
	cut       *prometheus.CounterVec
	panics    prometheus.Counter

	// Who holds the ledger's booking may use these. A vector finds its series only by hashing all labels.
	models map[string]*modelSeries
	ends   map[end]*endSeries
}

// end is how a request can end: there are as many as operations and statuses.
type end struct {
	operation string
	status    int
}

type endSeries struct {
	requests            prometheus.Counter
	duration, firstByte prometheus.Observer
}

// modelSeries are those of a model, or of all that have none of their own.
type modelSeries struct {
	label                            string
	input, cached, output, reasoning prometheus.Counter
	cost                             prometheus.Counter // nil: nothing was paid yet
}

// newMetrics makes metrics that call count before they are collected.
func newMetrics(reg prometheus.Registerer, serving func() int64, count func()) *metrics {
	spans := []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600}
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "oap_requests_total",
			Help: "Finished API requests, by operation and status answered."}, []string{"operation", "status"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "oap_request_duration_seconds",
			Help: "Whole duration of API requests.", Buckets: spans}, []string{"operation"}),
		firstByte: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "oap_first_byte_seconds",
			Help: "Time to the first body byte for the caller.", Buckets: spans}, []string{"operation"}),
		tokens: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "oap_tokens_total",
			Help: "Tokens used, by kind (input, cached, output, reasoning) and model."}, []string{"kind", "model"}),
		cost: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "oap_cost_usd_total",
			Help: "What the tokens cost in US dollars, by model, as far as prices are known."}, []string{"model"}),
		unpriced: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "oap_unpriced_requests_total",
			Help: "Requests that used something whose price is not known, by model."}, []string{"model"}),
		retries: prometheus.NewCounter(prometheus.CounterOpts{Name: "oap_retries_total",
			Help: "Attempts beyond the first of a request."}),
		cut: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "oap_answers_cut_total",
			Help: "Answers that had begun and were not finished, by who was at fault."}, []string{"by"}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{Name: "oap_panics_total", Help: "Panics recovered."}),
		models: map[string]*modelSeries{}, ends: map[end]*endSeries{},
	}
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "oap_requests_in_flight", Help: "Requests being served."},
		func() float64 { return float64(serving()) }))
	reg.MustRegister(m.panics)
	for _, c := range []prometheus.Collector{m.requests, m.duration, m.firstByte, m.tokens, m.cost, m.unpriced, m.retries, m.cut} {
		reg.MustRegister(counted{c, count})
	}
	return m
}

// observe counts a finished request. The ledger calls it, for one after the other.
func (m *metrics) observe(rec *proxy.Record) {
	e := m.end(end{rec.Operation, rec.Status})
	e.requests.Inc()
	e.duration.Observe(rec.Total.Seconds())
	if rec.FirstByte > 0 {
		e.firstByte.Observe(rec.FirstByte.Seconds())
	}
	if n := len(rec.Attempts); n > 1 {
		m.retries.Add(float64(n - 1))
	}
	if rec.Cut || rec.Broken {
		m.cut.WithLabelValues(ended(rec)).Inc()
	}
	if u := rec.Usage; u.Basis != "" {
		model := m.model(rec.Model)
		model.input.Add(float64(u.Input))
		model.cached.Add(float64(u.Cached))
		model.output.Add(float64(u.Output))
		model.reasoning.Add(float64(u.Reasoning))
	}
	m.pay(rec)
}

// pay counts what a request cost.
func (m *metrics) pay(rec *proxy.Record) {
	switch {
	case rec.Priced:
		m.costOf(rec.Model).Add(float64(rec.Cost) / 1e9)
	case rec.Unpriced:
		m.unpriced.WithLabelValues(m.model(rec.Model).label).Inc()
	}
}

func (m *metrics) end(of end) *endSeries {
	e := m.ends[of]
	if e == nil {
		e = &endSeries{m.requests.WithLabelValues(of.operation, strconv.Itoa(of.status)),
			m.duration.WithLabelValues(of.operation), m.firstByte.WithLabelValues(of.operation)}
		m.ends[of] = e
	}
	return e
}

// model is the series of a model, or those of "other" once there are too many.
func (m *metrics) model(name string) *modelSeries {
	if s := m.models[name]; s != nil {
		return s
	}
	if len(m.models) >= modelLabels {
		name = otherModels
	}
	s := m.models[name]
	if s == nil {
		s = &modelSeries{label: name, input: m.tokens.WithLabelValues("input", name), cached: m.tokens.WithLabelValues("cached", name),
			output: m.tokens.WithLabelValues("output", name), reasoning: m.tokens.WithLabelValues("reasoning", name)}
		m.models[name] = s
	}
	return s
}

func (m *metrics) costOf(model string) prometheus.Counter {
	s := m.model(model)
	if s.cost == nil {
		s.cost = m.cost.WithLabelValues(s.label)
	}
	return s.cost
}
