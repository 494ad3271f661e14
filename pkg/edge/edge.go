// Package edge is Gin for callers: it names and records each request, refuses what is hostile before anybody reads it,
// finds out who calls and which operation is meant, holds the body, and hands a proxy.Call to the relay. Faults become
// OpenAI's error envelope here and nowhere else.
package edge

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"

	"openai-api-proxy/pkg/openai"
	"openai-api-proxy/pkg/proxy"
)

// authenticator finds out who calls.
type authenticator interface {
	Client(ctx context.Context, header http.Header, addr netip.Addr) (*proxy.Client, error)
	// Still returns who it was, if it could come now, and until when that holds if nothing is configured anew.
	Still(header http.Header, addr netip.Addr) (client *proxy.Client, until time.Time)
}

// server answers calls.
type server interface {
	Serve(ctx context.Context, w http.ResponseWriter, call *proxy.Call, rec *proxy.Record) error
}

// recorder counts finished requests.
type recorder interface {
	Record(rec *proxy.Record)
}

// Options are the parts and settings of an Edge.
type Options struct {
	Usage          recorder
	Health         func() Health
	TrustedProxies []netip.Prefix
	CORSOrigins    []string
	MaxBody        int64               // bytes of one request body
	KeepBodies     int64               // bytes of each request and answer that are remembered; 0: none
	Mask           func([]byte) []byte // hides live secrets in them
	// Operator lets those in who may ask why a request went as it did; nil: nobody may.
	Operator func(ctx context.Context, credential http.Header, addr netip.Addr) error
	// Trace is told of every finished request, with the caller's header; nil: nobody wants traces.
	Trace func(rec *proxy.Record, header http.Header)
	Log   *slog.Logger
	// AccessLog takes a line of JSON for each request, of the level that Log has, and many lines at once: within 20 ms and at Close;
	// nil: they go through Log, each at once.
	AccessLog io.Writer
	Metrics   prometheus.Registerer
}

// View is how one configuration wants callers to be served. A request ends with the view it began with; a session does so only
// while the one in force would let it begin.
type View struct {
	Auth       authenticator
	Relay      server
	Operations *openai.Operations
	Replay     int64 // bytes up to which a body is held for another attempt
	HasKeys    bool  // at least one key is configured
}

// Edge is the public surface.
type Edge struct {
	Options
	engine  *gin.Engine
	view    atomic.Pointer[View]
	bodies  *bodies
	metrics *metrics
	sockets *sockets
	ready   atomic.Bool
	leaving atomic.Bool
	serving atomic.Int64
	ledger  *ledger
}

// New makes an Edge that is not ready yet and serves no call; see Ready and Use.
func New(o Options) *Edge {
	gin.SetMode(gin.ReleaseMode)
	e := &Edge{Options: o, bodies: newBodies(o.MaxBody)}
	e.ledger = newLedger(e.book, o.AccessLog)
	e.metrics = newMetrics(o.Metrics, e.Serving, e.ledger.count)
	e.sockets = newSockets(o.Metrics, e.ledger.count)
	e.engine = e.NewEngine(e.cors)
	r := e.engine
	r.GET("/health", e.health)
	r.GET("/livez", e.live)
	r.GET("/readyz", e.readyz)
	r.HEAD("/health", e.health)
	r.HEAD("/livez", e.live)
	r.HEAD("/readyz", e.readyz)
	r.Any("/v1/*path", e.api)
	r.Any("/proxy/v1/*path", e.api)
	return e
}

// NewEngine makes an engine without routes, in which every request is recorded, survives a panic and is checked for
// hostile paths and headers: the public one, and the operators' own when they have a port to themselves.
func (e *Edge) NewEngine(more ...gin.HandlerFunc) *gin.Engine {
	r := gin.New()
	r.RedirectTrailingSlash = false
	r.HandleMethodNotAllowed = false
	// We read forwarding headers ourselves (clientaddr.go); Gin would trust everybody.
	_ = r.SetTrustedProxies(nil)
	r.Use(e.record, e.recovery)
	r.Use(more...)
	r.Use(e.refuseHostile)
	r.NoRoute(e.unknown)
	return r
}

// ClientAddr is the address of who calls; see TrustedProxies.
func (e *Edge) ClientAddr(r *http.Request) netip.Addr { return e.clientAddr(r) }

// Engine lets operators' routes be served on the same port.
func (e *Edge) Engine() *gin.Engine { return e.engine }

// Use puts a view in the place of the one before, for all requests that begin from now on.
func (e *Edge) Use(v View) { e.view.Store(&v) }

// Ready makes /readyz green: the first snapshot is loaded.
func (e *Edge) Ready() { e.ready.Store(true) }

// IsReady reports whether it is green.
func (e *Edge) IsReady() bool {
	v := e.view.Load()
	return e.ready.Load() && !e.leaving.Load() && v != nil && v.HasKeys
}

// Serving is how many requests are being served.
func (e *Edge) Serving() int64 { return e.serving.Load() }

// Leave makes it red for good: the proxy drains. From now on every answer ends its connection, so that no caller sends the
// next request on one that is about to close. It reports whether this is the first call.
func (e *Edge) Leave() bool { return !e.leaving.Swap(true) }

// Close writes what the access log is still to be told. It is to be called when no request is served any more.
func (e *Edge) Close() { e.ledger.close() }

// api serves one operation of the OpenAI API.
func (e *Edge) api(c *gin.Context) {
	rec, view := recordOf(c), e.view.Load()
	call, room, err := e.read(c, view, rec)
	defer e.bodies.release(room)
	if err == nil {
		err = e.readHead(call, rec)
	}
	switch {
	case err != nil:
	case e.KeepBodies != 0:
		err = e.serveKeeping(view, c.Request, c.Writer, call, rec)
	default:
		err = view.Relay.Serve(c.Request.Context(), c.Writer, call, rec)
	}
	if err != nil {
		e.fail(c, err)
		return
	}
	if rec.Cut {
		// A handler that returns normally would end a chunked body as if it were whole.
		panic(http.ErrAbortHandler)
	}
}

// read reads the request: who asks for what, and the body. The room that the body takes is to be given back.
func (e *Edge) read(c *gin.Context, view *View, rec *proxy.Record) (call *proxy.Call, room int64, err error) {
	if call, err = e.callOf(c, view, rec); err != nil {
		return nil, 0, err
	}
	call.Body, room, err = e.bodies.hold(&answerOf(c).body, c.Writer, c.Request, view.Replay)
	return call, room, err
}

// callOf makes the call out of the request's line and headers: who, and what. It comes before the first read of the body,
// so that a stranger's upload is neither read nor, with Expect: 100-continue, asked for.
func (e *Edge) callOf(c *gin.Context, view *View, rec *proxy.Record) (*proxy.Call, error) {
	req, a := c.Request, answerOf(c)
	client, err := view.Auth.Client(req.Context(), credentials(view, req), a.addr)
	if err != nil {
		return nil, err
	}
	rec.Client = client.ID
	match, err := view.Operations.Match(req.Method, req.URL.EscapedPath())
	if err != nil {
		return nil, pathFault(req.Method, err)
	}
	rec.Operation = match.Op.Path
	if err := e.upgradable(match.Op, req); err != nil {
		return nil, err
	}
	call := &a.call
	*call = proxy.Call{ID: rec.ID, Client: client, Op: match.Op, Slots: match.Slots, Path: match.Path, Query: req.URL.RawQuery,
		Header: req.Header, Head: openai.Head{Model: match.Model}}
	call.Op.Method = req.Method // HEAD stays HEAD
	if match.Op.Socket {
		call.Still = e.still(call, credentials(view, req), a.addr)
	}
	call.Explain, err = e.debugged(req)
	return call, err
}

// readHead reads what the body asks for, and whether the client may ask for it.
func (e *Edge) readHead(call *proxy.Call, rec *proxy.Record) error {
	call.Head = headOf(call)
	rec.Stream, rec.BytesIn = call.Head.Stream, max(call.Body.Length, 0)
	if m := call.Head.Model; len(m) > longestModel || !utf8.ValidString(m) {
		return &proxy.Fault{Kind: proxy.InvalidRequest, Public: "this cannot be the name of a model", Param: "model"}
	}
	rec.Model = call.Head.Model
	return allowed(call.Client, call)
}

func (e *Edge) unknown(c *gin.Context) {
	e.fail(c, &proxy.Fault{Kind: proxy.UnknownEndpoint, Public: "unknown endpoint"})
}

// longestModel bounds a name that is kept in memory and in metrics, in bytes; the longest known are a quarter of it.
const longestModel = 256

// printable bounds a text that a caller or an upstream chose.
func printable(s string) string {
	const most = 100
	if len(s) > most {
		return s[:most] + "..."
	}
	return s
}

// since is the time from the start of the request.
func since(rec *proxy.Record) time.Duration { return time.Since(rec.Start) }
