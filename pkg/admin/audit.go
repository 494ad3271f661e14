package admin

import (
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"

	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
)

// audit tells what operators did, newest first.
func (a *API) audit(c *gin.Context) error {
	q := queryOf(c)
	after, limit := q.text("after"), int(q.number("limit", defaultLimit, 1, mostLimit))
	if err := q.end(); err != nil {
		return err
	}
	notes, next, err := a.Catalog.Notes(c.Request.Context(), after, limit)
	var f *proxy.Fault
	if after != "" && errors.As(err, &f) && f.Kind == proxy.Internal {
		return &proxy.Fault{Kind: proxy.InvalidRequest, Param: "after", Public: "after is not where a page of this list ended", Err: err}
	}
	if err != nil {
		return err
	}
	if notes == nil {
		notes = []state.Note{}
	}
	return answer(c, http.StatusOK, struct {
		Data []state.Note `json:"data"`
		Next *string      `json:"next"`
	}{notes, orNull(next)})
}
