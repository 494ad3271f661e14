package edge

import (
	"context"
	"errors"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"openai-api-proxy/pkg/openai"
	"openai-api-proxy/pkg/proxy"
)

// wire is the status and the error type that callers see for each kind of fault; the kind itself is the code.
var wire = map[proxy.Kind]struct {
	status int
	kind   string
}{
	proxy.InvalidRequest:     {http.StatusBadRequest, "invalid_request_error"},
	proxy.NotSupportedYet:    {http.StatusBadRequest, "invalid_request_error"},
	proxy.InvalidAPIKey:      {http.StatusUnauthorized, "invalid_request_error"},
	proxy.ModelNotAllowed:    {http.StatusForbidden, "invalid_request_error"},
	proxy.IPNotAllowed:       {http.StatusForbidden, "invalid_request_error"},
	proxy.EndpointNotAllowed: {http.StatusForbidden, "invalid_request_error"},
	proxy.OriginNotAllowed:   {http.StatusForbidden, "invalid_request_error"},
	proxy.AdminDisabled:      {http.StatusForbidden, "invalid_request_error"},
	proxy.UnknownEndpoint:    {http.StatusNotFound, "invalid_request_error"},
	proxy.TooLarge:           {http.StatusRequestEntityTooLarge, "invalid_request_error"},
	proxy.RateLimited:        {http.StatusTooManyRequests, "rate_limit_error"},
	proxy.OverBudget:         {http.StatusTooManyRequests, "insufficient_quota"},
	proxy.LimitsUnknown:      {http.StatusServiceUnavailable, "server_error"},
	proxy.UpstreamError:      {http.StatusBadGateway, "server_error"},
	proxy.UpstreamTimeout:    {http.StatusGatewayTimeout, "server_error"},
	proxy.NoAvailableKey:     {http.StatusServiceUnavailable, "server_error"},
	proxy.NotFound:           {http.StatusNotFound, "invalid_request_error"},
	proxy.Conflict:           {http.StatusConflict, "invalid_request_error"},
	proxy.StateUnavailable:   {http.StatusServiceUnavailable, "server_error"},
	proxy.CallerLeft:         {statusCallerLeft, "server_error"},
	proxy.Internal:           {http.StatusInternalServerError, "server_error"},
}

// statusCallerLeft is written to the log only: nobody is there to read it. The number is nginx's.
const statusCallerLeft = 499

// patience is how long the official SDKs wait at most; told of more, they come back at once.
const patience = time.Minute

// Fail answers with the fault in OpenAI's envelope. Operators' routes use it too.
func Fail(c *gin.Context, err error) {
	var f *proxy.Fault
	if !errors.As(err, &f) {
		f = &proxy.Fault{Kind: proxy.Internal, Public: "internal error", Err: err}
	}
	w, known := wire[f.Kind]
	if !known {
		w = wire[proxy.Internal]
	}
	h := c.Writer.Header()
	if f.RetryAfter > 0 {
		h.Set("Retry-After", strconv.FormatInt(int64(math.Ceil(f.RetryAfter.Seconds())), 10))
		h.Set("Retry-After-Ms", strconv.FormatInt(f.RetryAfter.Milliseconds()+1, 10))
	}
	if f.Spent || f.RetryAfter > patience {
		h.Set("X-Should-Retry", "false")
	}
	c.Data(w.status, "application/json", openai.Error{
		Message: f.Public, Type: w.kind, Param: f.Param, Code: string(f.Kind)}.Body())
	c.Abort()
}

// fail answers with the fault and remembers it.
func (e *Edge) fail(c *gin.Context, err error) {
	rec := recordOf(c)
	if errors.Is(err, errTooLarge) { // found out while the body was on its way upstream
		err = e.bodies.tooLarge()
	}
	if errors.Is(err, openai.ErrBehindFile) {
		err = &proxy.Fault{Kind: proxy.InvalidRequest, Public: "a file that is longer than limits.replayBytes must be the last part of its form", Err: err}
	}
	err = stillThere(c, err)
	var f *proxy.Fault
	if errors.As(err, &f) {
		rec.Fault = f.Kind
		if (f.Kind == proxy.UpstreamError || f.Kind == proxy.UpstreamTimeout) && f.Err != nil {
			rec.Cause = f.Err.Error()
		}
		rec.Gone = f.Kind == proxy.CallerLeft
	} else {
		rec.Fault = proxy.Internal
	}
	if f == nil || f.Err != nil {
		e.Log.Debug("refused", "request", rec.ID, "error", err)
	}
	if c.Request.ContentLength > refusedBody || c.Request.ContentLength < 0 {
		c.Writer.Header().Set("Connection", "close") // rather than reading on what nobody wants
	}
	Fail(c, err)
	rec.Status = c.Writer.Status()
	rec.BytesOut = int64(c.Writer.Size())
}

// ErrDraining is the cause with which requests are cut that outlast the drain.
var ErrDraining = errors.New("the drain is over")

// stillThere corrects a fault that takes the caller for gone: it may be we who leave, or it may only have sent half a body.
func stillThere(c *gin.Context, err error) error {
	var f *proxy.Fault
	ctx := c.Request.Context()
	switch {
	case !errors.As(err, &f) || f.Kind != proxy.CallerLeft:
		return err
	case errors.Is(context.Cause(ctx), ErrDraining):
		c.Writer.Header().Set("Connection", "close")
		return &proxy.Fault{Kind: proxy.NoAvailableKey, Public: "the proxy is stopping", RetryAfter: time.Second, Err: f.Err}
	case ctx.Err() == nil:
		return &proxy.Fault{Kind: proxy.InvalidRequest, Public: "the body could not be read to its end", Err: f.Err}
	default:
		return err
	}
}

// refusedBody is the largest body that is read to its end after a refusal, to keep the connection.
const refusedBody = 256 << 10
