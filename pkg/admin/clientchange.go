package admin

import (
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
)

// mostKept is how long the token before may be kept when another one is made.
const mostKept = 30 * 24 * time.Hour

func (a *API) createClient(c *gin.Context) error {
	if err := noQuery(c); err != nil {
		return err
	}
	spec, _, err := body(c, jsonType)
	if err != nil {
		return err
	}
	id, token, err := a.Catalog.AddClient(c.Request.Context(), a.actor(c), spec)
	if err != nil {
		return err
	}
	c.Header("Location", "/api/clients/"+id)
	return a.oneClient(c, http.StatusCreated, id, token.Reveal())
}

// clientRevision looks up the revision of a client.
func (a *API) clientRevision(id string) func() (int64, error) {
	return func() (int64, error) {
		client, found := a.Catalog.Current().Client(id)
		if !found {
			return 0, noSuch("client")
		}
		return client.Revision, nil
	}
}

func (a *API) patchClient(c *gin.Context) error {
	id := c.Param("id")
	revision, err := a.expected(c, a.clientRevision(id))
	if err != nil {
		return err
	}
	patch, _, err := body(c, patchType, jsonType)
	if err != nil {
		return err
	}
	if err := a.Catalog.PatchClient(c.Request.Context(), a.actor(c), id, patch, revision); err != nil {
		return err
	}
	return a.oneClient(c, http.StatusOK, id, "")
}

func (a *API) deleteClient(c *gin.Context) error {
	id := c.Param("id")
	revision, err := a.expected(c, a.clientRevision(id))
	if err != nil {
		return err
	}
	if err := a.Catalog.DeleteClient(c.Request.Context(), a.actor(c), id, revision); err != nil {
		return err
	}
	return nothing(c)
}

// rotateClient gives a client another token.
func (a *API) rotateClient(c *gin.Context) error {
	id := c.Param("id")
	if err := noQuery(c); err != nil {
		return err
	}
	if _, err := a.clientRevision(id)(); err != nil {
		return err
	}
	keep, err := readKeep(c)
	if err != nil {
		return err
	}
	token, err := a.Catalog.RotateClient(c.Request.Context(), a.actor(c), id, keep)
	if err != nil {
		return err
	}
	return a.oneClient(c, http.StatusOK, id, token.Reveal())
}

// readKeep is how long the present token is to be kept; no body means not at all.
func readKeep(c *gin.Context) (time.Duration, error) {
	if !hasBody(c) {
		return 0, nil
	}
	var asked struct {
		KeepOldFor string `json:"keepOldFor"`
	}
	if err := object(c, &asked, "keepOldFor"); err != nil || asked.KeepOldFor == "" {
		return 0, err
	}
	keep, err := time.ParseDuration(asked.KeepOldFor)
	if err != nil || keep < 0 || keep > mostKept {
		return 0, wrong("keepOldFor", "keepOldFor must be a duration from 0s to 720h, such as 24h")
	}
	return keep, nil
}

// nothing answers that it is done.
func nothing(c *gin.Context) error {
	c.Status(http.StatusNoContent)
	c.Writer.WriteHeaderNow()
	return nil
}
