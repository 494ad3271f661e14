// Package admin is Gin for operators: the management API and the metrics, on the public port or on one of its own.
package admin

import (
	"context"
	"net/http"
	"net/netip"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"openai-api-proxy/pkg/balancer"
	"openai-api-proxy/pkg/state"
)

// gate lets operators in.
type gate interface {
	Admin(ctx context.Context, header http.Header, addr netip.Addr) error
	Metrics(ctx context.Context, header http.Header, addr netip.Addr) error
}

// meter tells what was used.
type meter interface {
	Totals(ctx context.Context) (state.Totals, error)
}

// pool tells how the keys are.
type pool interface {
	States() []balancer.KeyState
}

// Options are the parts of the operators' surface.
type Options struct {
	Gate    gate
	Usage   meter
	Keys    pool
	Metrics prometheus.Gatherer
	// OpenMetrics serves /metrics without a token, on a port that only operators reach.
	OpenMetrics bool
	ClientAddr  func(*http.Request) netip.Addr
	Fail        func(*gin.Context, error) // answers with a fault
}

// Mount adds the routes.
func Mount(r gin.IRouter, o Options) {
	api := r.Group("/api", o.admin)
	api.GET("/stats", o.stats)
	metrics := promhttp.HandlerFor(o.Metrics, promhttp.HandlerOpts{})
	r.GET("/metrics", o.metrics, gin.WrapH(metrics))
}

func (o Options) admin(c *gin.Context) {
	if err := o.Gate.Admin(c.Request.Context(), c.Request.Header, o.ClientAddr(c.Request)); err != nil {
		o.Fail(c, err)
	}
}

func (o Options) metrics(c *gin.Context) {
	if o.OpenMetrics {
		return
	}
	if err := o.Gate.Metrics(c.Request.Context(), c.Request.Header, o.ClientAddr(c.Request)); err != nil {
		o.Fail(c, err)
	}
}
