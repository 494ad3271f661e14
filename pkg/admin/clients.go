package admin

import (
	"encoding/json"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"openai-api-proxy/pkg/catalog"
	"openai-api-proxy/pkg/proxy"
)

// clientAnswer is a client as operators see it: the fields of the file, where it comes from, and what it did.
type clientAnswer struct {
	ID    string `json:"id"`
	RPM   int64  `json:"rpm"`
	Burst int64  `json:"burst"`

	TPM         int64          `json:"tpm"`
	Concurrency int64          `json:"concurrency"`
	Quota       []budgetAnswer `json:"quota"`
	Mode        string         `json:"mode"` // soft or strict
	TimeZone    string         `json:"timeZone"`
	OnStateLoss string         `json:"onStateLoss"` // allow or deny

	Models  []string       `json:"models"`
	IPs     []netip.Prefix `json:"ips"`
	Pool    string         `json:"pool"`
	Group   string         `json:"group"`
	Enabled bool           `json:"enabled"`
	Expires *time.Time     `json:"expires"`
	Tokens  []tokenAnswer  `json:"tokens"`

	Source     string        `json:"source"`
	Revision   int64         `json:"revision"`
	Overridden bool          `json:"overridden"`
	Created    *time.Time    `json:"created"`
	Updated    *time.Time    `json:"updated"`
	Usage      *usageSummary `json:"usage"`

	Balances []balanceAnswer `json:"balances"` // of the quotas, in their order; null: not known

	Token string `json:"token,omitempty"` // only in the answer of the request that made it
}

// budgetAnswer is one quota in the form of the file: one of the amounts, in a period.
type budgetAnswer struct {
	Requests int64       `json:"requests,omitempty"`
	Tokens   int64       `json:"tokens,omitempty"`
	USD      json.Number `json:"usd,omitempty"`
	Period   string      `json:"period"`
}

func budgetOf(b proxy.Budget) budgetAnswer {
	a := budgetAnswer{Period: string(b.Period)}
	switch b.Measure {
	case proxy.Requests:
		a.Requests = b.Limit
	case proxy.Tokens:
		a.Tokens = b.Limit
	case proxy.Dollars:
		a.USD = dollars(b.Limit)
	}
	return a
}

// limits fills in what else limits a client, with the words of the file.
func (a *clientAnswer) limits(c *proxy.Client) {
	a.TPM, a.Concurrency, a.Quota = c.TPM, c.Concurrency, quotasOf(c.Quota)
	a.Mode, a.TimeZone, a.OnStateLoss = "soft", "UTC", "deny"
	if c.Strict {
		a.Mode = "strict"
	}
	if c.Zone != nil {
		a.TimeZone = c.Zone.String()
	}
	if c.AllowUncounted {
		a.OnStateLoss = "allow"
	}
}

type tokenAnswer struct {
	Masked string     `json:"masked"`
	Until  *time.Time `json:"until"`
}

// clientFilter says which clients are wanted; what is empty lets all through.
type clientFilter struct {
	sources                          []string
	enabled, model, pool, group, has string
}

func readClientFilter(q *query) clientFilter {
	return clientFilter{sources: q.words("source", sources...), enabled: q.word("enabled", "true", "false"), model: q.text("model"),
		pool: q.text("pool"), group: q.text("group"), has: strings.ToLower(q.text("q"))}
}

func (f *clientFilter) match(c *catalog.Client) bool {
	return (f.sources == nil || slices.Contains(f.sources, c.Source)) &&
		(f.enabled == "" || c.Enabled == (f.enabled == "true")) &&
		(f.model == "" || c.Models.Match(f.model)) &&
		(f.pool == "" || f.pool == c.Pool) &&
		(f.group == "" || f.group == c.Group) &&
		(f.has == "" || has(c.ID, f.has) ||
			slices.ContainsFunc(c.Tokens, func(t catalog.Token) bool { return has(t.Masked, f.has) }))
}

// clientOrders are what clients can be sorted by.
var clientOrders = []string{"id", "rpm", "requests", "failures", "created"}

// clientPlace says where a client stands in an order.
func clientPlace(order string, u used) func(*catalog.Client) place {
	return func(c *catalog.Client) place {
		at := place{ID: c.ID}
		switch order {
		case "rpm":
			at.Number = c.RPM
		case "created":
			at.Number = c.Created.Unix()
		case "requests":
			at.Number, _ = u.amounts(u.clients, c.ID)
		case "failures":
			_, at.Number = u.amounts(u.clients, c.ID)
		}
		return at
	}
}

func (a *API) listClients(c *gin.Context) error {
	q := queryOf(c)
	wanted := readClientFilter(q)
	p := q.paging(clientOrders...)
	if err := q.end(); err != nil {
		return err
	}
	var rows []catalog.Client
	for _, client := range a.Catalog.Current().Clients {
		if wanted.match(&client) {
			rows = append(rows, client)
		}
	}
	used := a.used.get(c.Request.Context())
	page, next := cut(rows, p, clientPlace(p.sort, used))
	body := list[clientAnswer]{Data: make([]clientAnswer, 0, len(page)), Total: len(rows), Next: next}
	balances := a.balances(c.Request.Context(), page)
	for i, client := range page {
		body.Data = append(body.Data, clientOf(client, used, balances[i]))
	}
	return answer(c, http.StatusOK, body)
}

func (a *API) getClient(c *gin.Context) error {
	if err := noQuery(c); err != nil {
		return err
	}
	return a.oneClient(c, http.StatusOK, c.Param("id"), "")
}

// oneClient answers with a client as it is now, and with its token when it was made just now.
func (a *API) oneClient(c *gin.Context, status int, id, token string) error {
	client, found := a.Catalog.Current().Client(id)
	if !found {
		return noSuch("client")
	}
	tag(c, client.Revision)
	ctx := c.Request.Context()
	body := clientOf(&client, a.used.get(ctx), a.balances(ctx, []*catalog.Client{&client})[0])
	body.Token = token
	return answer(c, status, body)
}

// clientOf shows a client.
func clientOf(c *catalog.Client, u used, balances []balanceAnswer) clientAnswer {
	a := clientAnswer{ID: c.ID, RPM: c.RPM, Burst: c.Burst, Models: texts(c.Models), IPs: c.IPs, Pool: c.Pool, Group: c.Group, Enabled: c.Enabled,
		Expires: instant(c.Expires), Tokens: make([]tokenAnswer, 0, len(c.Tokens)),
		Source: c.Source, Revision: c.Revision, Overridden: c.Overridden, Created: instant(c.Created), Updated: instant(c.Updated),
		Usage: u.of(u.clients, c.ID), Balances: balances}
	a.limits(c.Client)
	if a.IPs == nil {
		a.IPs = []netip.Prefix{}
	}
	for _, t := range c.Tokens {
		a.Tokens = append(a.Tokens, tokenAnswer{t.Masked, instant(t.Until)})
	}
	return a
}
