package edge

import (
	"strconv"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"openai-api-proxy/pkg/proxy"
)

// modelLabels bounds the models that have a series of their own: their names come from callers.
const modelLabels = 100

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

	mu     sync.Mutex // guards models
	models map[string]bool
}

func newMetrics(reg prometheus.Registerer, serving func() int64) *metrics {
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
		models: map[string]bool{},
	}
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "oap_requests_in_flight", Help: "Requests being served."},
		func() float64 { return float64(serving()) }))
	reg.MustRegister(m.requests, m.duration, m.firstByte, m.tokens, m.cost, m.unpriced, m.retries, m.cut, m.panics)
	return m
}

// observe counts a finished request.
func (m *metrics) observe(rec *proxy.Record) {
	m.requests.WithLabelValues(rec.Operation, strconv.Itoa(rec.Status)).Inc()
	m.duration.WithLabelValues(rec.Operation).Observe(rec.Total.Seconds())
	if rec.FirstByte > 0 {
		m.firstByte.WithLabelValues(rec.Operation).Observe(rec.FirstByte.Seconds())
	}
	if n := len(rec.Attempts); n > 1 {
		m.retries.Add(float64(n - 1))
	}
	if rec.Cut || rec.Broken {
		m.cut.WithLabelValues(ended(rec)).Inc()
	}
	if u := rec.Usage; u.Basis != "" {
		model := m.modelLabel(rec.Model)
		m.tokens.WithLabelValues("input", model).Add(float64(u.Input))
		m.tokens.WithLabelValues("cached", model).Add(float64(u.Cached))
		m.tokens.WithLabelValues("output", model).Add(float64(u.Output))
		m.tokens.WithLabelValues("reasoning", model).Add(float64(u.Reasoning))
	}
	m.pay(rec)
}

// pay counts what a request cost.
func (m *metrics) pay(rec *proxy.Record) {
	switch {
	case rec.Priced:
		m.cost.WithLabelValues(m.modelLabel(rec.Model)).Add(float64(rec.Cost) / 1e9)
	case rec.Unpriced:
		m.unpriced.WithLabelValues(m.modelLabel(rec.Model)).Inc()
	}
}

// modelLabel is the model, or "other" once there are too many.
func (m *metrics) modelLabel(model string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.models[model] {
		return model
	}
	if len(m.models) >= modelLabels {
		return "other"
	}
	m.models[model] = true
	return model
}
