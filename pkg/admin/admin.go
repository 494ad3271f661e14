// Package admin is Gin for operators: the management API and the metrics, on the public port or on one of its own.
//
// The API is written down first, in openapi.yaml beside this file, and served as it stands there: a test holds every route
// and every answer against it. Whoever changes one changes the other.
//
// No answer holds an upstream key or an operator's token, and a client's token is in one answer only, that of the request
// that made it. What is refused is not repeated either: a key pasted into the wrong field would end up in somebody's log.
package admin

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/ulule/limiter/v3"

	"openai-api-proxy/pkg/balancer"
	"openai-api-proxy/pkg/catalog"
	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
)

// gate lets operators in.
type gate interface {
	Admin(ctx context.Context, header http.Header, addr netip.Addr) error
	Metrics(ctx context.Context, header http.Header, addr netip.Addr) error
}

// meter tells what was used, and by which requests.
type meter interface {
	Totals(ctx context.Context) (state.Totals, error)
	Series(ctx context.Context, q state.SeriesQuery) ([]state.Point, error)
	Requests(ctx context.Context, q state.RequestQuery) (state.Page, error)
}

// pool tells how the keys are, and changes that.
type pool interface {
	// States tells of every key, sorted by id.
	States() []balancer.KeyState
	State(id string) (balancer.KeyState, bool)
	// Check asks the upstream whether it accepts a key and takes over what it says.
	Check(ctx context.Context, id string) (v proxy.Verdict, took time.Duration, known bool)
	// Reset ends all that keeps a key from being used. It reports whether there is such a key.
	Reset(id string) bool
}

// registry is where metrics are registered and read.
type registry interface {
	prometheus.Registerer
	prometheus.Gatherer
}

// Fixed is a setting that needs a restart, as it may be shown: a secret says only that it is set.
type Fixed struct {
	Name   string `json:"name"`
	Value  any    `json:"value"`
	Source string `json:"source"` // "default" or "environment"
}

// Options are the parts of the operators' surface. All are needed, but for those that say otherwise. Errors of its parts
// are *proxy.Fault, or wrap state.ErrUnavailable.
type Options struct {
	Gate    gate
	Catalog *catalog.Catalog
	Keys    pool
	Usage   meter
	Owners  owners
	Quotas  quotas

	// Limiter counts the requests of an address that holds a valid token. One that fails lets them pass.
	Limiter limiter.Store
	Rate    limiter.Rate // zero: 600 in a minute

	// Replica describes this replica; it must not wait for anything. Its Config.Error is told as an event.
	Replica func() state.Replica
	// Fleet lists the replicas that live, this one among them.
	Fleet func(ctx context.Context) ([]state.Replica, error)
	// Refresh makes every replica read file and environment anew, waits for them for a while, and tells how each of them is
	// then: those that did not in time are at an order before the one returned.
	Refresh func(ctx context.Context) (order int64, all []state.Replica, err error)
	// Degraded is since when the shared state has not answered; zero: it does. nil: it is never away.
	Degraded func() time.Time
	// Alerts lists the latest alerts, newest first: those after an id, or as many as there are, at most limit.
	Alerts func(ctx context.Context, after string, limit int) ([]state.Alert, error)
	// Alerting tells what is told of, and whether anybody is called.
	Alerting func() Alerting
	// TryWebhook calls the webhook once. Its error says why that failed, and names no URL.
	TryWebhook func(ctx context.Context) error
	// Fixed lists what needs a restart, in the order in which it is to be shown.
	Fixed func() []Fixed

	Metrics registry
	// OpenMetrics serves /metrics without a token, on a port that only operators reach.
	OpenMetrics bool
	ClientAddr  func(*http.Request) netip.Addr
	Fail        func(*gin.Context, error) // answers with a fault
	Log         *slog.Logger
}

// API is the operators' surface. Close it before the server that serves it waits for its requests to end.
type API struct {
	Options
	metrics *metrics
	used    *ledger
	feed    *feed
	asking  chan struct{} // holds a place for each key that is tested right now
	spec    func() ([]byte, error)
}

// New makes an API.
func New(o Options) *API {
	if o.Rate.Limit == 0 {
		o.Rate = limiter.Rate{Period: time.Minute, Limit: defaultRate}
	}
	a := &API{Options: o, used: &ledger{meter: o.Usage, every: recent, wait: waitWhile}, asking: make(chan struct{}, mostAsking), spec: document()}
	a.feed = newFeed(a)
	a.metrics = newMetrics(o.Metrics, a.feed)
	return a
}

// Close ends the streams of events: without it a server that drains would wait for them. Other requests are still served.
func (a *API) Close() error {
	a.feed.close()
	a.used.close()
	return nil
}

// Mount adds the routes.
func (a *API) Mount(r gin.IRouter) {
	api := r.Group("/api", a.unstored, a.admin, a.limit)
	for _, route := range a.routes() {
		api.Handle(route.method, route.path, a.serve(route.serve))
	}
	r.GET("/metrics", a.metricsGate, gin.WrapH(promhttp.HandlerFor(a.Metrics, promhttp.HandlerOpts{})))
}

// handler answers a request, or says why not.
type handler func(c *gin.Context) error

type route struct {
	method, path string
	serve        handler
}

// routes are all there are, in the order of the document.
func (a *API) routes() []route {
	return []route{
		{"GET", "/keys", a.listKeys},
		{"POST", "/keys", a.createKey},
		{"GET", "/keys/:id", a.getKey},
		{"PATCH", "/keys/:id", a.patchKey},
		{"DELETE", "/keys/:id", a.deleteKey},
		{"POST", "/keys/:id/test", a.testKey},
		{"POST", "/keys/:id/reset", a.resetKey},
		{"POST", "/keys/import", a.importKeys},
		{"GET", "/keys/export", a.exportKeys},
		{"POST", "/keys/delete", a.deleteKeys},
		{"POST", "/keys/test", a.testKeys},
		{"POST", "/keys/reset", a.resetKeys},

		{"GET", "/clients", a.listClients},
		{"POST", "/clients", a.createClient},
		{"GET", "/clients/:id", a.getClient},
		{"PATCH", "/clients/:id", a.patchClient},
		{"DELETE", "/clients/:id", a.deleteClient},
		{"POST", "/clients/:id/rotate", a.rotateClient},

		{"GET", "/objects", a.listObjects},
		{"POST", "/objects", a.adoptObjects},
		{"POST", "/objects/disown", a.disownObjects},

		{"GET", "/stats", a.getStats},
		{"GET", "/usage", a.usage},
		{"GET", "/requests", a.listRequests},
		{"GET", "/requests/:id", a.getRequest},
		{"GET", "/events", a.events},
		{"GET", "/alerts", a.listAlerts},
		{"POST", "/alerts/test", a.testWebhook},

		{"GET", "/settings", a.getSettings},
		{"PATCH", "/settings", a.patchSettings},
		{"GET", "/replicas", a.listReplicas},
		{"POST", "/config/refresh", a.refresh},
		{"GET", "/audit", a.audit},
		{"GET", "/openapi.json", a.openapi},
	}
}

func (a *API) serve(h handler) gin.HandlerFunc {
	return func(c *gin.Context) {
		if err := h(c); err != nil {
			a.fail(c, err)
		}
	}
}

// unstored keeps answers out of every cache.
func (a *API) unstored(c *gin.Context) { c.Header("Cache-Control", "no-store") }

func (a *API) admin(c *gin.Context) {
	if err := a.Gate.Admin(c.Request.Context(), c.Request.Header, a.ClientAddr(c.Request)); err != nil {
		a.Fail(c, err)
	}
}

func (a *API) metricsGate(c *gin.Context) {
	if a.OpenMetrics {
		return
	}
	if err := a.Gate.Metrics(c.Request.Context(), c.Request.Header, a.ClientAddr(c.Request)); err != nil {
		a.Fail(c, err)
	}
}

// actor is who asks.
func (a *API) actor(c *gin.Context) catalog.Actor {
	return catalog.Actor{Name: "admin", Address: a.ClientAddr(c.Request).String()}
}
