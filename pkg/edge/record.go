package edge

import (
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"runtime/debug"
	"time"

	"github.com/gin-gonic/gin"

	"openai-api-proxy/pkg/proxy"
)

// answer is what a request is answered on, with its record: Gin's own place for such things is a map for each request. What
// else each request needs lies in the same piece.
type answer struct {
	gin.ResponseWriter
	rec  *proxy.Record
	addr netip.Addr // of the caller
	call proxy.Call
	body pacedBody
	id   [1]string // the value of a header
}

// entry is a record with room for the attempts that nearly all requests have. It outlives the request.
type entry struct {
	proxy.Record
	room [1]proxy.Attempt
}

// Unwrap lets http.ResponseController reach what is below.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// answerOf is what the request is answered on; the first middleware made it.
func answerOf(c *gin.Context) *answer { return c.Writer.(*answer) }

func recordOf(c *gin.Context) *proxy.Record { return answerOf(c).rec }

// record names the request, and logs and counts it once when it has ended, however that was.
func (e *Edge) record(c *gin.Context) {
	rec := e.begin(c)
	defer e.sockets.enter(c.Request)() // until it is accounted for
	e.serving.Add(1)
	defer e.end(c, rec)
	c.Next()
}

//go:noinline
func (e *Edge) begin(c *gin.Context) *proxy.Record {
	addr, text := e.caller(c.Request)
	kept := &entry{Record: proxy.Record{ID: newID(), Start: time.Now(), Method: c.Request.Method, ClientIP: text}}
	rec := &kept.Record
	rec.Attempts = kept.room[:0]
	a := &answer{ResponseWriter: c.Writer, rec: rec, addr: addr, id: [1]string{rec.ID}}
	c.Writer = a
	a.Header()["X-Proxy-Request-Id"] = a.id[:]
	if e.leaving.Load() {
		c.Header("Connection", "close")
	}
	return rec
}

func (e *Edge) end(c *gin.Context, rec *proxy.Record) {
	e.serving.Add(-1)
	e.finish(c, rec)
}

// newID has 130 random bits, like rand.Text, in small letters. It is a name and no secret: the generator of the runtime will do.
func newID() string {
	const prefix, letters = "req_", "abcdefghijklmnopqrstuvwxyz234567"
	var id [len(prefix) + 26]byte
	random := id[copy(id[:], prefix):]
	var bits uint64
	for i := range random {
		if i%12 == 0 { // 60 of the 64 are used
			bits = rand.Uint64()
		}
		random[i] = letters[bits%32]
		bits /= 32
	}
	return string(id[:])
}

func (e *Edge) finish(c *gin.Context, rec *proxy.Record) {
	if rec.Operation == "" {
		// Health checks and strangers at the door: seen in the log, not in the usage of the API.
		if rec.Status == 0 {
			rec.Status = c.Writer.Status()
		}
		rec.Total = since(rec)
		if e.logged(slog.LevelDebug) {
			e.account(rec)
		}
		return
	}
	if rec.Gone && rec.BytesOut == 0 {
		rec.Status = statusCallerLeft
	}
	rec.Total = since(rec)
	e.Usage.Record(rec)
	e.account(rec)
	if e.Trace != nil {
		e.Trace(rec, c.Request.Header)
	}
}

// account has a finished request logged and counted, most of it off its way.
func (e *Edge) account(rec *proxy.Record) {
	if e.AccessLog == nil {
		e.log(levelOf(rec), rec)
	}
	e.ledger.add(rec)
}

// book counts a finished request and writes its line. The ledger calls it.
func (e *Edge) book(rec *proxy.Record, to *line) {
	begin := len(to.text)
	defer func() {
		if p := recover(); p != nil { // nobody above would
			e.metrics.panics.Inc()
			e.Log.Error("panic", "request", rec.ID, "panic", p, "stack", stack())
			to.text = to.text[:begin]
		}
	}()
	if rec.Operation != "" {
		e.metrics.observe(rec)
		e.sockets.observe(rec)
	}
	if level := levelOf(rec); e.AccessLog != nil && e.logged(level) {
		to.tell(level, rec)
	}
}

// levelOf is the level of the log at which a request is told.
func levelOf(rec *proxy.Record) slog.Level {
	if rec.Operation == "" {
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

// recovery answers a panic with 500, or cuts the connection when the answer had begun. Gin's own ends a cut stream
// cleanly, which looks like success, and logs credential headers.
func (e *Edge) recovery(c *gin.Context) {
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		if p == http.ErrAbortHandler {
			panic(p)
		}
		e.metrics.panics.Inc()
		e.Log.Error("panic", "request", recordOf(c).ID, "panic", p, "stack", stack())
		if c.Writer.Written() {
			recordOf(c).Cut = true
			panic(http.ErrAbortHandler)
		}
		e.fail(c, proxy.Faultf(proxy.Internal, "internal error"))
	}()
	c.Next()
}

func stack() string { return string(debug.Stack()) }
