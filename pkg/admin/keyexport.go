package admin

import (
	"fmt"
	"time"

	"github.com/gin-gonic/gin"
)

// keyFile is a key in the form of the file, without its secret. What has its default is left out.
type keyFile struct {
	ID           string         `json:"id"`
	Account      string         `json:"account,omitempty"`
	BaseURL      string         `json:"baseUrl,omitempty"`
	Organization string         `json:"organization,omitempty"`
	Project      string         `json:"project,omitempty"`
	Weight       int64          `json:"weight"`
	Models       []string       `json:"models,omitempty"`
	RPM          int64          `json:"rpm,omitempty"`
	TPM          int64          `json:"tpm,omitempty"`
	Concurrency  int64          `json:"concurrency,omitempty"`
	Quota        []budgetAnswer `json:"quota,omitempty"`
	Enabled      bool           `json:"enabled"`
	Expires      *time.Time     `json:"expires,omitempty"`
	Note         string         `json:"note,omitempty"`
	Tags         []string       `json:"tags,omitempty"`
	Pool         string         `json:"pool,omitempty"`
}

// exportKeys streams all keys that are wanted.
func (a *API) exportKeys(c *gin.Context) error {
	q := queryOf(c)
	wanted := readKeyFilter(q)
	if err := q.end(); err != nil {
		return err
	}
	rows, endpoint := a.rows(wanted), a.Catalog.Current().Base.BaseURL
	a.Catalog.Note(c.Request.Context(), a.actor(c), "key.export", "", fmt.Sprintf("%d keys, without their secrets", len(rows)))
	c.Header("Content-Disposition", `attachment; filename="keys.json"`)
	out := begin(c)
	out.lines = true
	out.list(len(rows), func(i int) any { return fileOf(&rows[i], endpoint) })
	out.end()
	return nil
}

func fileOf(row *keyRow, endpoint string) keyFile {
	k := row.Key.Key
	f := keyFile{ID: k.ID, Organization: k.Organization, Project: k.Project, Weight: k.Weight, Models: k.Models,
		RPM: k.RPM, TPM: k.TPM, Concurrency: k.Concurrency, Quota: quotasOf(k.Quota),
		Enabled: k.Enabled, Expires: instant(k.Expires), Note: hidden(k.Note, k), Tags: k.Tags, Pool: k.Pool}
	if k.Account != k.ID {
		f.Account = k.Account
	}
	if k.Endpoint != endpoint {
		f.BaseURL = k.Endpoint
	}
	return f
}
