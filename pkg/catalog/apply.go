package catalog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
)

// Actor is who changes something.
type Actor struct {
	Name    string // "admin"
	Address string
}

// errNoBox means that there is no key to seal a secret with.
var errNoBox = &proxy.Fault{Kind: proxy.Conflict,
	Public: "keys cannot be added at run time: ENCRYPTION_KEY is not set; make one with `openssl rand -base64 32`, the same for every replica"}

// apply makes the changes and puts them in force here. Errors are *proxy.Fault.
func (c *Catalog) apply(ctx context.Context, note state.Note, changes ...state.Change) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	note.Replica = c.Replica
	_, err := c.Store.Apply(ctx, c.version, changes, note)
	if errors.Is(err, state.ErrStale) { // it has lost something: first it gets that back
		if err = c.syncLocked(ctx); err == nil {
			_, err = c.Store.Apply(ctx, c.version, changes, note)
		}
	}
	if err != nil {
		return asFault(err)
	}
	c.metrics.changes.WithLabelValues(note.Action).Inc()
	c.Log.Info("changed", "action", note.Action, "subject", note.Subject, "by", note.Actor, "from", note.Address)
	if err := c.syncLocked(ctx); err != nil {
		return &proxy.Fault{Kind: proxy.StateUnavailable, Public: "stored, but not yet in force on this replica", Err: err}
	}
	return nil
}

// asFault says in the operator's words why a change was not made.
func asFault(err error) error {
	var fault *proxy.Fault
	var conflict *state.Conflict
	switch {
	case errors.As(err, &fault):
		return err
	case errors.As(err, &conflict) && conflict.Revision == state.Nothing && conflict.Kind != state.OverrideItem:
		return &proxy.Fault{Kind: proxy.NotFound, Public: "there is no such " + conflict.Kind, Err: err}
	case errors.As(err, &conflict):
		return &proxy.Fault{Kind: proxy.Conflict, Err: err,
			Public: fmt.Sprintf("somebody else changed or made this %s; it is at revision %d now", conflict.Kind, conflict.Revision)}
	case errors.Is(err, state.ErrUncertain):
		return &proxy.Fault{Kind: proxy.StateUnavailable, Err: err,
			Public: "the shared state did not answer in time; whether the change was made is not known, so read it again"}
	case errors.Is(err, state.ErrUnavailable):
		return &proxy.Fault{Kind: proxy.StateUnavailable, Err: err, Public: "the shared state does not answer; nothing was changed"}
	default:
		return &proxy.Fault{Kind: proxy.Internal, Public: "internal error", Err: err}
	}
}

func (a Actor) note(action, subject, detail string) state.Note {
	return state.Note{Actor: a.Name, Address: a.Address, Action: action, Subject: subject, Detail: detail}
}

// Note remembers what somebody did that changed no item. It is not worth an error: a state that is away is told in other
// ways.
func (c *Catalog) Note(ctx context.Context, who Actor, action, subject, detail string) {
	note := who.note(action, subject, detail)
	note.Replica = c.Replica
	if err := c.Store.Note(ctx, note); err != nil {
		c.Log.Warn("what an operator did is not remembered", "action", action, "subject", subject, "error", err)
	}
}

// Notes returns what operators did, newest first. Errors are *proxy.Fault.
func (c *Catalog) Notes(ctx context.Context, after string, limit int) ([]state.Note, string, error) {
	notes, next, err := c.Store.Notes(ctx, after, limit)
	if err != nil {
		return nil, "", asFault(err)
	}
	return notes, next, nil
}

// notFound does not repeat the id: it may be a secret that was pasted in its place.
func notFound(kind string) error { return proxy.Faultf(proxy.NotFound, "there is no such %s", kind) }

// invalid turns the mistakes of a reader into a fault: they repeat nothing that was sent.
func invalid(err error) error {
	return &proxy.Fault{Kind: proxy.InvalidRequest, Public: err.Error()}
}

// expecting is what a change expects: the revision that the caller has read, which may be that there is none, or else the one
// that is known here.
func expecting(asked, known int64) int64 {
	if asked == state.Anything {
		return known
	}
	return asked
}

// object reads a JSON object.
func object(text json.RawMessage) (map[string]json.RawMessage, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil || members == nil {
		return nil, proxy.Faultf(proxy.InvalidRequest, "the body must be a JSON object")
	}
	return members, nil
}

// configuredElsewhere is a key or client of file or environment that is to be changed at run time.
type configuredElsewhere struct {
	kind, id, source string
	enabled          bool // as configured
}

// override puts enabled in the place of what file or environment say, the only thing that may differ from them at run
// time. revision is that of the override that the operator has read, state.Nothing if there was none. state.Anything: it
// does not matter, since nothing of an older one stays, and a key that must be off may not wait for who hears of what first.
func (c *Catalog) override(ctx context.Context, who Actor, of configuredElsewhere, patch json.RawMessage, revision int64) error {
	o, err := readOverride(of, patch)
	if err != nil {
		return err
	}
	change := state.Change{Kind: state.OverrideItem, ID: overrideID(of.kind, of.id), Expect: revision}
	detail := "as configured"
	if o.Enabled != nil && *o.Enabled != of.enabled {
		if change.Value, err = c.write(change.Kind, change.ID, o); err != nil {
			return asFault(err)
		}
		detail = fmt.Sprintf("enabled=%t", *o.Enabled)
	}
	return c.apply(ctx, who.note(of.kind+".override", of.id, detail), change)
}

func readOverride(of configuredElsewhere, patch json.RawMessage) (o override, err error) {
	members, err := object(patch)
	if err != nil {
		return o, err
	}
	for member, value := range members {
		if member != "enabled" {
			return o, proxy.Faultf(proxy.Conflict, "this %s is configured in the %s; only enabled can be changed here", of.kind, of.source)
		}
		if err := json.Unmarshal(value, &o.Enabled); err != nil {
			return o, &proxy.Fault{Kind: proxy.InvalidRequest, Param: "enabled", Public: "enabled must be true, false or null"}
		}
	}
	return o, nil
}
