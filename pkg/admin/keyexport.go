package admin

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
)

// keyFile is a key in the form of the file, without its secret. What has its default is left out.
type keyFile struct {
	ID           string        `json:"id"`
	Account      string        `json:"account,omitempty"`
	BaseURL      string        `json:"baseUrl,omitempty"`
	Organization string        `json:"organization,omitempty"`
	Project      string        `json:"project,omitempty"`
	Weight       int64         `json:"weight"`
	Models       []string      `json:"models,omitempty"`
	Quota        []quotaAnswer `json:"quota,omitempty"`
	Enabled      bool          `json:"enabled"`
	Expires      *time.Time    `json:"expires,omitempty"`
	Note         string        `json:"note,omitempty"`
	Tags         []string      `json:"tags,omitempty"`
	Pool         string        `json:"pool,omitempty"`
}

// exportEvery is after how many keys of an export the reader gets more time.
const exportEvery = 1000

// exportKeys streams all keys that are wanted. It may be long, so nothing of it waits for the rest; an export that fails
// midway is cut, not ended.
func (a *API) exportKeys(c *gin.Context) error {
	q := queryOf(c)
	wanted := readKeyFilter(q)
	if err := q.end(); err != nil {
		return err
	}
	rows, endpoint := a.rows(wanted), a.Catalog.Current().Base.BaseURL
	a.Catalog.Note(c.Request.Context(), a.actor(c), "key.export", "", fmt.Sprintf("%d keys, without their secrets", len(rows)))
	c.Header("Content-Type", jsonType)
	c.Header("Content-Disposition", `attachment; filename="keys.json"`)
	c.Status(http.StatusOK)
	rc := http.NewResponseController(c.Writer)
	defer func() { _ = rc.SetWriteDeadline(time.Time{}) }()
	out := bufio.NewWriterSize(c.Writer, 64<<10)
	to := json.NewEncoder(out)
	to.SetEscapeHTML(false)
	separator := "["
	for i := range rows {
		if i%exportEvery == 0 {
			_ = rc.SetWriteDeadline(time.Now().Add(writeWithin))
		}
		_, _ = out.WriteString(separator)
		if err := to.Encode(fileOf(&rows[i], endpoint)); err != nil {
			panic(http.ErrAbortHandler) // the reader is gone
		}
		separator = ","
	}
	if len(rows) == 0 {
		_, _ = out.WriteString("[")
	}
	_, _ = out.WriteString("]")
	if err := out.Flush(); err != nil {
		panic(http.ErrAbortHandler)
	}
	return nil
}

func fileOf(row *keyRow, endpoint string) keyFile {
	k := row.Key.Key
	f := keyFile{ID: k.ID, Organization: k.Organization, Project: k.Project, Weight: k.Weight, Models: k.Models, Quota: quotasOf(k),
		Enabled: k.Enabled, Expires: instant(k.Expires), Note: hidden(k.Note, k), Tags: k.Tags, Pool: k.Pool}
	if k.Account != k.ID {
		f.Account = k.Account
	}
	if k.Endpoint != endpoint {
		f.BaseURL = k.Endpoint
	}
	return f
}
