package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	// model is what the doctor's requests are for, so that its usage is nobody else's.
	model = "doctor-model"
	// marked is the tag of its keys, and what the ids of its keys and clients begin with.
	marked = "doctor"
	// forgotten is how long what it made holds, should it be killed before it can clean up.
	forgotten = 15 * time.Minute

	sharing  = 5 // keys of the pool whose shares are measured, of weight 1 to 5
	tripping = 6 // keys of the pool of which one fails: few enough of its requests, so that no retry budget is spent

	limitRPM, limitBurst = 600, 20
)

// throwaway is what a checkup makes on the proxy.
type throwaway struct {
	name    string
	keys    []madeKey
	tokens  map[string]string // by client
	keyIDs  []string          // those that may be there
	clients []string
}

type madeKey struct {
	id, secret string
	weight     int64
}

func (p *throwaway) load() string    { return p.name + "-load" }
func (p *throwaway) limited() string { return p.name + "-limit" }
func (p *throwaway) trips() string   { return p.name + "-trip" }

// shared are the keys whose shares are measured, failing those of which the first one fails.
func (p *throwaway) shared() []madeKey  { return p.keys[:sharing] }
func (p *throwaway) failing() []madeKey { return p.keys[sharing:] }

// prepare makes pool and clients, waits until every replica knows them, and sees to it that the mock is reached.
func (c *checkup) prepare(ctx context.Context) error {
	c.sweep(ctx)
	p := &c.pool
	p.name, p.tokens = marked+"-"+random(4), map[string]string{}
	if err := c.addKeys(ctx); err != nil {
		return err
	}
	for _, one := range []map[string]any{{"id": p.load(), "pool": p.name}, {"id": p.limited(), "pool": p.name, "rpm": limitRPM, "burst": limitBurst},
		{"id": p.trips(), "pool": p.trips()}} {
		one["expires"] = time.Now().Add(forgotten).UTC().Format(time.RFC3339)
		p.clients = append(p.clients, one["id"].(string))
		var made client
		if err := c.make(ctx, "/api/clients", one, &made); err != nil {
			return fmt.Errorf("a client for the checkup cannot be added: %w", err)
		}
		p.tokens[made.ID] = made.Token
	}
	if err := c.known(ctx, p.trips()); err != nil {
		return err
	}
	return c.reach(ctx)
}

func (c *checkup) addKeys(ctx context.Context) error {
	p := &c.pool
	var specs []map[string]any
	for i := range sharing + tripping {
		pool, weight := p.name, int64(i+1)
		if i >= sharing {
			pool, weight = p.trips(), 1
		}
		k := madeKey{fmt.Sprintf("%s-%d", p.name, i+1), c.stage.prefix + random(12), weight}
		p.keys, p.keyIDs = append(p.keys, k), append(p.keyIDs, k.id)
		specs = append(specs, map[string]any{"id": k.id, "key": k.secret, "weight": weight, "pool": pool, "baseUrl": c.stage.address,
			"tags": []string{marked}, "note": "made by openai-api-proxy doctor; may be deleted",
			"expires": time.Now().Add(forgotten).UTC().Format(time.RFC3339)})
	}
	var a importAnswer
	if err := c.make(ctx, "/api/keys/import", specs, &a); err != nil {
		return fmt.Errorf("keys for the checkup cannot be added: %w", err)
	}
	for _, line := range a.Results {
		if line.Status != "created" {
			return fmt.Errorf("a key for the checkup cannot be added: %s", line.Error.Message)
		}
	}
	return nil
}

// make adds something. An interruption waits for the answer: what is made after it was given up could not be deleted.
func (c *checkup) make(ctx context.Context, path string, what, answer any) error {
	if _, err := c.s.api.call(context.WithoutCancel(ctx), "POST", path, nil, asJSON(what), answer); err != nil {
		return err
	}
	return ctx.Err()
}

// known waits until every replica knows the client that was made last, and so all that was made before it. Which replica
// answers is for the load balancer to say: many answers in a row are taken for all of them.
func (c *checkup) known(ctx context.Context, id string) error {
	fresh := c.s.api.fresh()
	for in, end := 0, time.Now().Add(10*time.Second); in < 5*len(c.replicas.Data); {
		_, err := fresh.get(ctx, item("clients", id), nil, nil)
		switch {
		case err == nil:
			in++
			continue
		case !refused(err, 404) || time.Now().After(end):
			return fmt.Errorf("what one replica was told is not known to all: %w", err)
		}
		in = 0
		pause(ctx, 100*time.Millisecond)
	}
	return nil
}

// reach asks the proxy to test a key, for which it has to reach the mock.
func (c *checkup) reach(ctx context.Context) error {
	var a testAnswer
	if _, err := c.s.api.call(ctx, "POST", "/api/keys/test", nil, asJSON(map[string]any{"ids": c.pool.keyIDs[:1]}), &a); err != nil {
		return err
	}
	if a.OK == 1 {
		return nil
	}
	why := a.Results[0].Outcome
	if a.Results[0].Error != "" {
		why = a.Results[0].Error
	}
	return fmt.Errorf("the proxy does not reach the mock at %s (%s): say by --listen and --advertise where it can", c.stage.address, why)
}

// sweep deletes what checkups left behind that were killed. It is a courtesy: what fails here is left.
func (c *checkup) sweep(ctx context.Context) {
	var keys page[key]
	if _, err := c.s.api.get(ctx, "/api/keys", query("tag", marked, "source", "api", "state", "disabled", "limit", "1000"), &keys); err == nil {
		var ids []string
		for _, k := range keys.Data {
			if k.Reason == "expired" && strings.HasPrefix(k.ID, marked+"-") {
				ids = append(ids, k.ID)
			}
		}
		if len(ids) > 0 {
			_, _ = c.s.api.call(ctx, "POST", "/api/keys/delete", nil, asJSON(map[string]any{"ids": ids}), nil)
		}
	}
	var clients page[client]
	if _, err := c.s.api.get(ctx, "/api/clients", query("q", marked+"-", "source", "api", "limit", "1000"), &clients); err == nil {
		for _, one := range clients.Data {
			if strings.HasPrefix(one.ID, marked+"-") && strings.HasPrefix(one.Pool, marked+"-") && one.Expires != nil && one.Expires.Before(time.Now()) {
				_, _ = c.s.api.call(ctx, "DELETE", item("clients", one.ID), nil, nil, nil)
			}
		}
	}
}

// clean deletes all that was made: clients first, so that nobody is left without keys. What cannot be deleted is tried
// again until the time is over.
func (c *checkup) clean(ctx context.Context) finding {
	p := &c.pool
	var err error
	for {
		err = nil
		p.clients = slices.DeleteFunc(p.clients, func(id string) bool {
			_, failed := c.s.api.call(ctx, "DELETE", item("clients", id), nil, nil, nil)
			if failed != nil && !refused(failed, 404) {
				err = failed
			}
			return failed == nil || refused(failed, 404)
		})
		if err == nil {
			err = c.deleteKeys(ctx)
		}
		if err == nil || ctx.Err() != nil {
			break
		}
		pause(ctx, 500*time.Millisecond)
	}
	if err != nil {
		return finding{Name: "cleaned up", Text: fmt.Sprintf("keys and clients whose ids begin with %s are left behind, until they expire in %s: %v",
			p.name, forgotten, err), Figures: figures{"left": len(p.clients) + len(p.keyIDs)}}
	}
	return finding{Name: "cleaned up", OK: true, Text: "its keys and clients are gone", Figures: figures{"left": 0}}
}

// deleteKeys deletes those of the keys that are there: an import whose answer was lost may have made them or not.
func (c *checkup) deleteKeys(ctx context.Context) error {
	if len(c.pool.keyIDs) == 0 {
		return nil
	}
	_, err := c.s.api.call(ctx, "POST", "/api/keys/delete", nil, asJSON(map[string]any{"ids": c.pool.keyIDs}), nil)
	if !refused(err, 404) {
		if err == nil {
			c.pool.keyIDs = nil
		}
		return err
	}
	var failed error
	c.pool.keyIDs = slices.DeleteFunc(c.pool.keyIDs, func(id string) bool {
		_, err := c.s.api.call(ctx, "DELETE", item("keys", id), nil, nil, nil)
		if err != nil && !refused(err, 404) {
			failed = errors.Join(failed, err)
			return false
		}
		return true
	})
	return failed
}

// pause waits, unless the context ends before.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
