package admin

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/gin-gonic/gin"

	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
)

func (a *API) createKey(c *gin.Context) error {
	if err := noQuery(c); err != nil {
		return err
	}
	spec, _, err := body(c, jsonType)
	if err != nil {
		return err
	}
	added, err := a.Catalog.AddKeys(c.Request.Context(), a.actor(c), []json.RawMessage{spec})
	if err == nil {
		err = added[0].Err
	}
	if err != nil {
		return err
	}
	c.Header("Location", "/api/keys/"+added[0].ID)
	return a.oneKey(c, http.StatusCreated, added[0].ID)
}

// keyRevision looks up the revision of a key.
func (a *API) keyRevision(id string) func() (int64, error) {
	return func() (int64, error) {
		k, found := a.Catalog.Current().Key(id)
		if !found {
			return 0, noSuch("key")
		}
		return k.Revision, nil
	}
}

func (a *API) patchKey(c *gin.Context) error {
	id := c.Param("id")
	revision, err := a.expected(c, a.keyRevision(id))
	if err != nil {
		return err
	}
	patch, _, err := body(c, patchType, jsonType)
	if err != nil {
		return err
	}
	if err := a.Catalog.PatchKey(c.Request.Context(), a.actor(c), id, patch, revision); err != nil {
		return err
	}
	return a.oneKey(c, http.StatusOK, id)
}

func (a *API) deleteKey(c *gin.Context) error {
	id := c.Param("id")
	revision, err := a.expected(c, a.keyRevision(id))
	if err != nil {
		return err
	}
	if err := a.Catalog.DeleteKeys(c.Request.Context(), a.actor(c), []string{id}, revision); err != nil {
		return err
	}
	return nothing(c)
}

// deleteKeys deletes all of several keys or none.
func (a *API) deleteKeys(c *gin.Context) error {
	if err := noQuery(c); err != nil {
		return err
	}
	keys, err := a.named(c, state.MostChanges)
	if err != nil {
		return err
	}
	ids := make([]string, len(keys))
	for i, k := range keys {
		ids[i] = k.ID
	}
	if err := a.Catalog.DeleteKeys(c.Request.Context(), a.actor(c), ids, state.Anything); err != nil {
		return err
	}
	return answer(c, http.StatusOK, map[string]int{"deleted": len(ids)})
}

// named are the keys that {"ids":[...]} names, each once. One that there is not is told by its place in the list.
func (a *API) named(c *gin.Context, most int) ([]*proxy.Key, error) {
	var asked struct {
		IDs []string `json:"ids"`
	}
	if err := object(c, &asked, "ids"); err != nil {
		return nil, err
	}
	if len(asked.IDs) == 0 {
		return nil, wrong("ids", "ids must name at least one key")
	}
	if len(asked.IDs) > most {
		return nil, proxy.Faultf(proxy.TooLarge, "at most %d ids are taken at once", most)
	}
	now, keys, seen := a.Catalog.Current(), make([]*proxy.Key, 0, len(asked.IDs)), make(map[string]bool, len(asked.IDs))
	for i, id := range asked.IDs {
		k, found := now.Key(id)
		if !found {
			return nil, &proxy.Fault{Kind: proxy.NotFound, Param: fmt.Sprintf("ids[%d]", i),
				Public: fmt.Sprintf("ids[%d] names no key", i)}
		}
		if !seen[id] {
			seen[id] = true
			keys = append(keys, k.Key)
		}
	}
	return keys, nil
}

// resetKey lets a key be used again at once, whatever kept it from that.
func (a *API) resetKey(c *gin.Context) error {
	id := c.Param("id")
	if err := noQuery(c); err != nil {
		return err
	}
	if !a.Keys.Reset(id) {
		return noSuch("key")
	}
	a.Catalog.Note(c.Request.Context(), a.actor(c), "key.reset", id, "")
	return a.oneKey(c, http.StatusOK, id)
}

func (a *API) resetKeys(c *gin.Context) error {
	if err := noQuery(c); err != nil {
		return err
	}
	keys, err := a.named(c, state.MostChanges)
	if err != nil {
		return err
	}
	reset := 0
	for _, k := range keys {
		if a.Keys.Reset(k.ID) {
			reset++
		}
	}
	a.Catalog.Note(c.Request.Context(), a.actor(c), "key.reset", "", fmt.Sprintf("%d keys", reset))
	return answer(c, http.StatusOK, map[string]int{"reset": reset})
}
