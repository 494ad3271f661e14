package admin

import (
	"fmt"
	"net/http"

	"github.com/gin-gonic/gin"

	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
)

func (a *API) listReplicas(c *gin.Context) error {
	if err := noQuery(c); err != nil {
		return err
	}
	all, err := a.Fleet(c.Request.Context())
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, struct {
		Self string          `json:"self"`
		Data []state.Replica `json:"data"`
	}{a.Replica().ID, all})
}

// refreshed is what became of an order to read the configuration anew on one replica.
type refreshed struct {
	ID          string `json:"id"`
	Fingerprint string `json:"fingerprint"` // of the configuration that it runs now
	OK          bool   `json:"ok"`
	Error       string `json:"error,omitempty"` // mistakes with their places; they repeat no value
}

// refresh reads file and environment anew on every replica. Mistakes that this replica finds are the answer: the operator is
// to see at once that nothing came of it.
func (a *API) refresh(c *gin.Context) error {
	if err := noQuery(c); err != nil {
		return err
	}
	order, all, err := a.Refresh(c.Request.Context())
	if err != nil {
		return err
	}
	self, results, done := a.Replica().ID, make([]refreshed, 0, len(all)), 0
	var mistakes error
	for _, r := range all {
		one := refreshed{ID: r.ID, Fingerprint: r.Config.Fingerprint, Error: r.Config.Error}
		if one.Error == "" && r.Config.Refreshed < order {
			one.Error = "it has not carried out the order yet"
		}
		if one.OK = one.Error == ""; one.OK {
			done++
		}
		if r.ID == self && r.Config.Error != "" {
			mistakes = proxy.Faultf(proxy.Conflict, "%s", r.Config.Error)
		}
		results = append(results, one)
	}
	a.Catalog.Note(c.Request.Context(), a.actor(c), "config.refresh", "", fmt.Sprintf("in force on %d of %d replicas", done, len(all)))
	if mistakes != nil {
		return mistakes
	}
	return answer(c, http.StatusOK, map[string][]refreshed{"replicas": results})
}
