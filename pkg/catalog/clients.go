package catalog

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"openai-api-proxy/pkg/config"
	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
)

// authItem says that a client was created at run time once: the v1 way has ended for good.
var authItem = name{state.SettingItem, "auth"}

// mostTokens bounds the tokens of one client that hold at one time.
const mostTokens = 5

// NewToken is a token of 160 random bits.
func NewToken() proxy.Secret {
	return proxy.NewSecret("sk-proxy-" + strings.ToLower(rand.Text()+rand.Text()[:6]))
}

// AddClient adds a client, a JSON object with the fields of the file. Without a token one is made. The token is returned
// this once and can never be read again. Errors are *proxy.Fault.
func (c *Catalog) AddClient(ctx context.Context, who Actor, spec json.RawMessage) (id string, token proxy.Secret, err error) {
	members, err := object(spec)
	if err != nil {
		return "", token, err
	}
	if members["token"] == nil || string(members["token"]) == "null" {
		members["token"], _ = json.Marshal(NewToken().Reveal())
		spec, _ = json.Marshal(members)
	}
	client, err := config.ReadClient(spec)
	if err != nil {
		return "", token, invalid(err)
	}
	now := c.Current()
	if err := now.misplacedOf(&client); err != nil {
		return "", token, err
	}
	if _, taken := now.Client(client.ID); taken || client.ID == proxy.DefaultClient {
		return "", token, proxy.Faultf(proxy.Conflict, "there is a client %s already", client.ID)
	}
	if holder := now.Holder(client.Token.Hash()); holder != "" {
		return "", token, proxy.Faultf(proxy.Conflict, "this token is taken already")
	}
	r := clientRecord{Tokens: []tokenRecord{tokenOf(client.Token)}, Created: time.Now().UTC().Truncate(time.Second)}
	r.Updated = r.Created
	if r.Spec, err = mergePatch(spec, fmt.Appendf(nil, `{"id":%q,"token":null}`, client.ID)); err != nil {
		return "", token, invalid(err)
	}
	change, err := c.change(state.ClientItem, client.ID, state.Nothing, r)
	if err != nil {
		return "", token, err
	}
	changes := []state.Change{change}
	if !now.Permanent {
		changes = append(changes, state.Change{Kind: authItem.kind, ID: authItem.id, Value: []byte(`"clients"`), Expect: state.Anything})
	}
	return client.ID, client.Token, c.apply(ctx, who.note("client.create", client.ID, ""), changes...)
}

// runtimeClient finds a client that was added at run time.
func (c *Catalog) runtimeClient(id string) (*clientRecord, int64, error) {
	held, found := c.Current().Client(id)
	if !found {
		return nil, 0, notFound("client")
	}
	if held.Source != config.SourceRuntime {
		return nil, 0, proxy.Faultf(proxy.Conflict, "the client %s is configured in the %s; disable it here, or change it there", id, held.Source)
	}
	c.mu.Lock()
	e := c.items[name{state.ClientItem, id}]
	c.mu.Unlock()
	if e == nil || e.client == nil {
		return nil, 0, notFound("client")
	}
	return e.client, held.Revision, nil
}

// PatchClient changes a client by a JSON Merge Patch. revision is the one that the operator has read, state.Anything: the
// latest. Of a client that is configured elsewhere only enabled can be changed. Errors are *proxy.Fault.
func (c *Catalog) PatchClient(ctx context.Context, who Actor, id string, patch json.RawMessage, revision int64) error {
	if held, found := c.Current().Client(id); found && held.Source != config.SourceRuntime {
		return c.override(ctx, who, configuredElsewhere{state.ClientItem, id, held.Source, c.configuredClient(id)}, patch, revision)
	}
	held, known, err := c.runtimeClient(id)
	if err != nil {
		return err
	}
	members, err := object(patch)
	if err != nil {
		return err
	}
	if members["token"] != nil {
		return &proxy.Fault{Kind: proxy.InvalidRequest, Param: "token", Public: "a token is not changed but rotated"}
	}
	spec, err := mergePatch(held.Spec, patch)
	if err != nil {
		return invalid(err)
	}
	client, err := readClientSpec(spec)
	if err != nil {
		return invalid(err)
	}
	if client.ID != id {
		return &proxy.Fault{Kind: proxy.InvalidRequest, Param: "id", Public: "the id of a client cannot be changed"}
	}
	if err := c.Current().misplacedOf(&client); err != nil {
		return err
	}
	r := clientRecord{Spec: spec, Tokens: held.Tokens, Created: held.Created, Updated: time.Now().UTC().Truncate(time.Second)}
	change, err := c.change(state.ClientItem, id, expecting(revision, known), r)
	if err != nil {
		return err
	}
	return c.apply(ctx, who.note("client.update", id, strings.Join(slices.Sorted(maps.Keys(members)), " ")), change)
}

func (c *Catalog) configuredClient(id string) bool {
	for i := range c.Current().Base.Clients {
		if client := &c.Current().Base.Clients[i]; client.ID == id {
			return client.Enabled
		}
	}
	return true
}

// DeleteClient deletes a client; its requests that are under way end as they would have. Errors are *proxy.Fault.
func (c *Catalog) DeleteClient(ctx context.Context, who Actor, id string, revision int64) error {
	_, known, err := c.runtimeClient(id)
	if err != nil {
		return err
	}
	change := state.Change{Kind: state.ClientItem, ID: id, Expect: expecting(revision, known)}
	return c.apply(ctx, who.note("client.delete", id, ""), change)
}

// RotateClient gives a client another token, which is returned this once. The present one holds for as long as it is to
// be kept. Errors are *proxy.Fault.
func (c *Catalog) RotateClient(ctx context.Context, who Actor, id string, keep time.Duration) (proxy.Secret, error) {
	held, known, err := c.runtimeClient(id)
	if err != nil {
		return proxy.Secret{}, err
	}
	now := time.Now().UTC().Truncate(time.Second)
	token := NewToken()
	r := clientRecord{Spec: held.Spec, Tokens: []tokenRecord{tokenOf(token)}, Created: held.Created, Updated: now}
	for i, old := range held.Tokens {
		if i == 0 {
			until := now.Add(keep)
			old.Until = &until
		}
		if old.Until.After(now) && len(r.Tokens) < mostTokens {
			r.Tokens = append(r.Tokens, old)
		}
	}
	change, err := c.change(state.ClientItem, id, known, r)
	if err != nil {
		return proxy.Secret{}, err
	}
	return token, c.apply(ctx, who.note("client.rotate", id, "the old token is kept for "+keep.String()), change)
}
