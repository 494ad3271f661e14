package edge

import (
	"context"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"openai-api-proxy/pkg/openai"
	"openai-api-proxy/pkg/proxy"
)

// asksForSocket reports whether a request asks to switch to WebSocket.
func asksForSocket(req *http.Request) bool {
	if req.Method != http.MethodGet || !strings.EqualFold(req.Header.Get("Upgrade"), "websocket") {
		return false
	}
	return slices.ContainsFunc(strings.Split(strings.Join(req.Header["Connection"], ","), ","), func(name string) bool {
		return strings.EqualFold(strings.TrimSpace(name), "upgrade")
	})
}

// credentials are the headers that say who calls. A browser cannot set them on a WebSocket: there the token may stand among the
// subprotocols, and there only. Two tokens are two credentials, wherever they stand.
func credentials(view *View, req *http.Request) http.Header {
	if !asksForSocket(req) {
		return req.Header
	}
	match, err := view.Operations.Match(req.Method, req.URL.EscapedPath())
	tokens, _ := openai.Subprotocols(req.Header)
	if err != nil || !match.Op.Socket || len(tokens) == 0 {
		return req.Header
	}
	h := req.Header.Clone()
	for _, token := range tokens {
		h.Add("Authorization", "Bearer "+token)
	}
	return h
}

// still asks whether the caller of a session could open it now, by the view that is in force then, and until when that holds.
func (e *Edge) still(call *proxy.Call, header http.Header, addr netip.Addr) func() (time.Time, error) {
	was := call.Client
	return func() (time.Time, error) {
		now, until := e.view.Load().Auth.Still(header, addr)
		switch {
		case now == nil || now.ID != was.ID:
			return until, proxy.Faultf(proxy.InvalidAPIKey, "the API key of this session is no longer valid")
		case now.Pool != was.Pool || now.Owner() != was.Owner():
			return until, proxy.Faultf(proxy.InvalidAPIKey, "the client of this session has another pool or group now")
		default:
			return until, allowed(now, call)
		}
	}
}

// upgradable refuses what is not how a WebSocket is asked for, and pages that may not ask for one.
func (e *Edge) upgradable(op openai.Operation, req *http.Request) error {
	switch {
	case !op.Socket:
		return nil
	case !asksForSocket(req) || req.ContentLength != 0:
		return proxy.Faultf(proxy.InvalidRequest, "this endpoint is a WebSocket: ask for an upgrade, without a body")
	case !e.opensSockets(req.Header["Origin"]):
		return proxy.Faultf(proxy.OriginNotAllowed, "pages of this origin may not open WebSockets here")
	default:
		return nil
	}
}

// sockets counts the WebSockets. The server forgets a connection that was taken from it, so nobody else waits for them.
type sockets struct {
	open     atomic.Int64
	messages *prometheus.CounterVec
	seconds  prometheus.Histogram
}

func newSockets(reg prometheus.Registerer, count func()) *sockets {
	s := &sockets{
		messages: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "oap_socket_messages_total",
			Help: "Messages over WebSockets, by who sent them (caller, upstream)."}, []string{"by"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "oap_socket_seconds",
			Help: "How long WebSockets were open.", Buckets: []float64{1, 5, 15, 60, 300, 900, 1800, 3600}}),
	}
	reg.MustRegister(counted{s.messages, count}, counted{s.seconds, count}, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "oap_sockets_open",
		Help: "WebSockets that are open, or being opened."}, func() float64 { return float64(s.open.Load()) }))
	return s
}

// enter counts a WebSocket until leave is called.
func (s *sockets) enter(req *http.Request) (leave func()) {
	if !asksForSocket(req) {
		return func() {}
	}
	s.open.Add(1)
	return func() { s.open.Add(-1) }
}

// observe counts what passed. The ledger calls it, as it does metrics.observe.
func (s *sockets) observe(rec *proxy.Record) {
	if rec.Session != nil {
		s.messages.WithLabelValues("caller").Add(float64(rec.Session.Sent))
		s.messages.WithLabelValues("upstream").Add(float64(rec.Session.Received))
		s.seconds.Observe(rec.Total.Seconds())
	}
}

// look is how often it is looked whether WebSockets are still open.
const look = 20 * time.Millisecond

// WaitForSockets waits until the last WebSocket is closed and accounted for, or the context ends.
func (e *Edge) WaitForSockets(ctx context.Context) error {
	tick := time.NewTicker(look)
	defer tick.Stop()
	for e.sockets.open.Load() > 0 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}
