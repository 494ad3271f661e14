package admin

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"openai-api-proxy/pkg/balancer"
	"openai-api-proxy/pkg/openai"
	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
)

// owners knows whose the objects are that are stored upstream.
type owners interface {
	Adopt(ctx context.Context, owner string, objects []proxy.Object) error
	Disown(ctx context.Context, owner string, ids []proxy.ObjectID) error
	List(ctx context.Context, owner string, q proxy.ObjectQuery) (proxy.ObjectPage, error)
}

// mostAdopted bounds the objects of one request.
const mostAdopted = 1000

// adoption names objects and whose they are to be. Nobody asks the upstream: it is the operator who knows.
type adoption struct {
	Client  string        `json:"client"`
	Group   string        `json:"group"`
	Account string        `json:"account"`
	Family  openai.Family `json:"family"`
	IDs     []string      `json:"ids"`
	Created *time.Time    `json:"created"`
}

type objectAnswer struct {
	Family  openai.Family `json:"family"`
	ID      string        `json:"id"`
	Account string        `json:"account"`
	Created time.Time     `json:"created"`
}

// listObjects tells what of a family a client or a group has, the newest first.
func (a *API) listObjects(c *gin.Context) error {
	q := queryOf(c)
	client, group, family := q.text("client"), q.text("group"), q.text("family")
	from, limit := q.text("after"), int(q.number("limit", defaultLimit, 1, mostLimit))
	if !openai.IsFamily(family) {
		q.wrong("family", "must be one of those in the document")
	}
	if err := q.end(); err != nil {
		return err
	}
	owner, err := a.ownerOf(client, group)
	if err != nil {
		return err
	}
	page, err := a.Owners.List(c.Request.Context(), owner, proxy.ObjectQuery{Family: openai.Family(family), From: from, Limit: limit})
	if err != nil {
		return err
	}
	data, next := make([]objectAnswer, 0, len(page.Objects)), ""
	for _, o := range page.Objects {
		data = append(data, objectAnswer{o.Family, o.ID, o.Account, o.Created})
	}
	if page.More && len(data) > 0 {
		next = data[len(data)-1].ID
	}
	return answer(c, http.StatusOK, struct {
		Data []objectAnswer `json:"data"`
		Next *string        `json:"next"`
	}{data, orNull(next)})
}

// adoptObjects makes objects a client's, or a group's, that were there before it, or before there was more than one.
func (a *API) adoptObjects(c *gin.Context) error {
	var want adoption
	ids, owner, err := a.adoption(c, &want, "client", "group", "account", "family", "ids", "created")
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(a.Keys.States(), func(s balancer.KeyState) bool { return s.Key.Account == want.Account }) {
		return wrong("account", "no key has this account")
	}
	objects := make([]proxy.Object, len(ids))
	at := time.Now()
	if want.Created != nil {
		at = *want.Created
	}
	if err := outlived(ids, at); err != nil {
		return err
	}
	for i, id := range ids {
		objects[i] = proxy.Object{ObjectID: id, Account: want.Account, Created: at.UTC().Truncate(time.Second)}
	}
	if err := a.Owners.Adopt(c.Request.Context(), owner, objects); err != nil {
		return err
	}
	a.Catalog.Note(c.Request.Context(), a.actor(c), "object.adopt", owner, strconv.Itoa(len(ids))+" in account "+want.Account)
	return answer(c, http.StatusOK, map[string]int{"adopted": len(ids)})
}

// outlived refuses objects that were made so long ago that they would be forgotten at once, which looks like success.
func outlived(ids []proxy.ObjectID, made time.Time) error {
	if time.Since(made) < state.PassingLife {
		return nil
	}
	for _, id := range ids {
		if id.Family.Passes() {
			days := strconv.Itoa(int(state.PassingLife / (24 * time.Hour)))
			return wrong("created", id.ID+" is of a kind that is remembered for "+days+" days after created, and those are over; "+
				"without created it is remembered from now on")
		}
	}
	return nil
}

// disownObjects takes objects from a client or a group. They stay where they are, and nobody's.
func (a *API) disownObjects(c *gin.Context) error {
	var want adoption
	ids, owner, err := a.adoption(c, &want, "client", "group", "family", "ids")
	if err != nil {
		return err
	}
	if err := a.Owners.Disown(c.Request.Context(), owner, ids); err != nil {
		return err
	}
	a.Catalog.Note(c.Request.Context(), a.actor(c), "object.disown", owner, strconv.Itoa(len(ids)))
	return answer(c, http.StatusOK, map[string]int{"disowned": len(ids)})
}

// adoption reads a body that names objects and whose they are.
func (a *API) adoption(c *gin.Context, want *adoption, members ...string) (ids []proxy.ObjectID, owner string, err error) {
	if err := noQuery(c); err != nil {
		return nil, "", err
	}
	if err := object(c, want, members...); err != nil {
		return nil, "", err
	}
	if want.Family != "" && !openai.IsFamily(string(want.Family)) {
		return nil, "", wrong("family", "family must be one of those in the document")
	}
	if len(want.IDs) == 0 || len(want.IDs) > mostAdopted {
		return nil, "", wrong("ids", "ids must be 1 to "+strconv.Itoa(mostAdopted))
	}
	for i, id := range want.IDs {
		family := want.Family
		if family == "" {
			family = openai.FamilyOf(id)
		}
		if family == "" || !openai.IsObjectID(id) {
			return nil, "", wrong("ids", "ids["+strconv.Itoa(i)+"] does not show of what family it is; say family")
		}
		ids = append(ids, proxy.ObjectID{Family: family, ID: id})
	}
	owner, err = a.ownerOf(want.Client, want.Group)
	return ids, owner, err
}

// ownerOf is whose the objects of a client or a group are. A client that has a group has those of the group. The client of
// the v1 way can be named as long as something may be left of it.
func (a *API) ownerOf(client, group string) (string, error) {
	now := a.Catalog.Current()
	if (client == "") == (group == "") {
		return "", wrong("client", "either a client or a group must be named")
	}
	if group != "" {
		for _, c := range now.Clients {
			if c.Group == group {
				return proxy.OwnerOfGroup(group), nil
			}
		}
		return "", noSuch("group")
	}
	if c, found := now.Client(client); found {
		return c.Owner(), nil
	}
	if client == proxy.DefaultClient {
		return proxy.OwnerOfClient(client), nil
	}
	return "", noSuch("client")
}
