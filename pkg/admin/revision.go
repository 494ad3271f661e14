package admin

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
)

// tag is the revision of an item as an entity tag.
func tag(c *gin.Context, revision int64) { c.Header("ETag", `"`+strconv.FormatInt(revision, 10)+`"`) }

// expected begins a change of one item, which takes no query: it is the revision that If-Match names; state.Anything: it names
// none. held looks up the one that is in force here, and says if there is no such item. A replica that has not heard of the
// revision that the operator has read catches up first: it would otherwise put a change on top of what it does not know.
func (a *API) expected(c *gin.Context, held func() (int64, error)) (int64, error) {
	if err := noQuery(c); err != nil {
		return 0, err
	}
	now, err := held()
	if err != nil {
		return 0, err
	}
	given := strings.TrimSpace(strings.Join(c.Request.Header.Values("If-Match"), ","))
	if given == "" || given == "*" {
		return state.Anything, nil
	}
	text, quoted := strings.CutPrefix(given, `"`)
	text, closed := strings.CutSuffix(text, `"`)
	asked, err := strconv.ParseInt(text, 10, 64)
	if !quoted || !closed || err != nil || asked < 0 {
		return 0, wrong("If-Match", "If-Match must be one ETag of this item, or *")
	}
	if asked != now {
		if now, err = a.caughtUp(c.Request.Context(), held); err != nil {
			return 0, err
		}
	}
	if asked != now {
		return 0, &proxy.Fault{Kind: proxy.Conflict, Param: "If-Match",
			Public: fmt.Sprintf("somebody else changed this; it is at revision %d now", now)}
	}
	return asked, nil
}

func (a *API) caughtUp(ctx context.Context, held func() (int64, error)) (int64, error) {
	if err := a.Catalog.Sync(ctx); err != nil {
		return 0, err
	}
	return held()
}
