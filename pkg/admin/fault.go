package admin

import (
	"context"
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"

	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
)

// fail answers with what went wrong. What operators are not told is in the log.
func (a *API) fail(c *gin.Context, err error) {
	f := faultOf(c.Request.Context(), err)
	if f.Err != nil {
		a.Log.Debug("management API", "method", c.Request.Method, "route", c.FullPath(), "code", f.Kind, "error", f.Err)
	}
	a.Fail(c, f)
}

// faultOf says in an operator's words what went wrong.
func faultOf(ctx context.Context, err error) *proxy.Fault {
	var f *proxy.Fault
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &f):
		return f
	case errors.As(err, &large):
		return &proxy.Fault{Kind: proxy.TooLarge, Public: "the body is too large; 4 MiB are allowed", Err: err}
	case errors.Is(err, state.ErrTooMuch), errors.Is(err, state.ErrPosition):
		return &proxy.Fault{Kind: proxy.InvalidRequest, Public: publicly(err), Err: err}
	case errors.Is(err, state.ErrUnavailable):
		return &proxy.Fault{Kind: proxy.StateUnavailable, Public: "the shared state does not answer", Err: err}
	case ctx.Err() != nil:
		return &proxy.Fault{Kind: proxy.CallerLeft, Public: "the request was given up", Err: err}
	default:
		return &proxy.Fault{Kind: proxy.Internal, Public: "internal error", Err: err}
	}
}

// publicly is what may be said of an error that has a text of its own: nothing that was sent.
func publicly(err error) string {
	if errors.Is(err, state.ErrTooMuch) {
		return state.ErrTooMuch.Error()
	}
	return state.ErrPosition.Error()
}

func wrong(param, text string) error {
	return &proxy.Fault{Kind: proxy.InvalidRequest, Param: param, Public: text}
}

// noSuch does not repeat what was asked for: it may be a key that was pasted in the place of its id.
func noSuch(kind string) error { return proxy.Faultf(proxy.NotFound, "there is no such %s", kind) }
