package admin

import (
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"openai-api-proxy/pkg/balancer"
	"openai-api-proxy/pkg/catalog"
)

// keyAnswer is a key as operators see it: the fields of the file, where it comes from, how it is, and what it did.
type keyAnswer struct {
	ID           string         `json:"id"`
	Key          string         `json:"key"` // masked
	Account      string         `json:"account"`
	BaseURL      string         `json:"baseUrl"`
	Organization string         `json:"organization"`
	Project      string         `json:"project"`
	Weight       int64          `json:"weight"`
	Models       []string       `json:"models"`
	RPM          int64          `json:"rpm"`
	TPM          int64          `json:"tpm"`
	Concurrency  int64          `json:"concurrency"`
	Quota        []budgetAnswer `json:"quota"`
	Enabled      bool           `json:"enabled"`
	Expires      *time.Time     `json:"expires"`
	Note         string         `json:"note"`
	Tags         []string       `json:"tags"`
	Pool         string         `json:"pool"`

	Source     string     `json:"source"`
	Revision   int64      `json:"revision"`
	Overridden bool       `json:"overridden"`
	Created    *time.Time `json:"created"`
	Updated    *time.Time `json:"updated"`

	State     string        `json:"state"`
	Reason    string        `json:"reason"`
	Since     *time.Time    `json:"since"`
	Until     *time.Time    `json:"until"`
	NextProbe *time.Time    `json:"nextProbe"`
	InFlight  int64         `json:"inFlight"`
	Balance   *quota        `json:"balance"`
	Limits    []limitAnswer `json:"limits"`
	Usage     *usageSummary `json:"usage"`
}

// keyRow is a key with how it is. It points at what it is of: a list of very many keys is made for every page.
type keyRow struct {
	*catalog.Key
	now *balancer.KeyState
}

// rows joins what is configured with how it is. Both are sorted by id; for the moment in which a configuration comes into
// force they may not be of the same one.
func (a *API) rows(wanted keyFilter) []keyRow {
	keys, states := a.Catalog.Current().Keys, a.Keys.States()
	rows, at := make([]keyRow, 0, len(keys)), 0
	for i := range keys {
		k := &keys[i]
		for at < len(states) && states[at].Key.ID < k.ID {
			at++
		}
		row := keyRow{Key: k}
		if at < len(states) && states[at].Key.ID == k.ID {
			row.now = &states[at]
		} else {
			row.now = unknown(k)
		}
		if wanted.match(&row) {
			rows = append(rows, row)
		}
	}
	return rows
}

// unknown is how a key is of which the balancer has not heard yet.
func unknown(k *catalog.Key) *balancer.KeyState {
	s := &balancer.KeyState{Key: k.Key, State: balancer.Active}
	if !k.Enabled {
		s.State = balancer.Disabled
	}
	return s
}

func (a *API) listKeys(c *gin.Context) error {
	q := queryOf(c)
	wanted := readKeyFilter(q)
	p := q.paging(keyOrders...)
	if err := q.end(); err != nil {
		return err
	}
	used := a.used.get(c.Request.Context())
	rows := a.rows(wanted)
	page, next := cut(rows, p, keyPlaces[p.sort](used))
	body := list[keyAnswer]{Data: make([]keyAnswer, 0, len(page)), Total: len(rows), Next: next}
	for _, row := range page {
		body.Data = append(body.Data, keyOf(row, used))
	}
	return answer(c, http.StatusOK, body)
}

func (a *API) getKey(c *gin.Context) error {
	if err := noQuery(c); err != nil {
		return err
	}
	return a.oneKey(c, http.StatusOK, c.Param("id"))
}

// oneKey answers with a key as it is now.
func (a *API) oneKey(c *gin.Context, status int, id string) error {
	k, found := a.Catalog.Current().Key(id)
	if !found {
		return noSuch("key")
	}
	row := keyRow{Key: &k, now: unknown(&k)}
	if now, known := a.Keys.State(id); known {
		row.now = &now
	}
	tag(c, k.Revision)
	return answer(c, status, keyOf(&row, a.used.get(c.Request.Context())))
}

// keyOf shows a key.
func keyOf(row *keyRow, used used) keyAnswer {
	k, now := row.Key.Key, row.now
	a := keyAnswer{ID: k.ID, Key: k.Secret.Masked(), Account: k.Account, BaseURL: k.Endpoint, Organization: k.Organization,
		Project: k.Project, Weight: k.Weight, Models: texts(k.Models), RPM: k.RPM, TPM: k.TPM,
		Concurrency: k.Concurrency, Quota: quotasOf(k.Quota), Enabled: k.Enabled,
		Expires: instant(k.Expires), Note: hidden(k.Note, k), Tags: texts(k.Tags), Pool: k.Pool,
		Source: k.Source, Revision: row.Revision, Overridden: row.Overridden, Created: instant(row.Created), Updated: instant(row.Updated),
		State: now.State, Reason: now.Reason, Since: instant(now.Since), Until: instant(now.Until), NextProbe: instant(now.NextProbe),
		InFlight: now.InFlight, Balance: balanceOf(now), Limits: limitsOf(now), Usage: used.of(used.keys, k.ID)}
	return a
}

// texts is a list that is never null.
func texts[T ~[]string](all T) []string {
	if all == nil {
		return []string{}
	}
	return all
}
