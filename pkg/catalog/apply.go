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
	case errors.As(err, &conflict) && conflict.Revision == state.Nothing:
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

// expecting is what a change expects: the revision that the caller has read, or the one that is known here.
func expecting(asked, known int64) int64 {
	if asked > 0 {
		return asked
	}
	return known
}

// object reads a JSON object.
func object(text json.RawMessage) (map[string]json.RawMessage, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil || members == nil {
		return nil, proxy.Faultf(proxy.InvalidRequest, "the body must be a JSON object")
	}
	return members, nil
}

// override puts enabled in the place of what file or environment say, the only thing that may differ from them at run
// time.
func (c *Catalog) override(ctx context.Context, who Actor, kind, id, source string, configured bool, patch json.RawMessage) error {
	members, err := object(patch)
	if err != nil {
		return err
	}
	var o override
	for member, value := range members {
		if member != "enabled" {
			return proxy.Faultf(proxy.Conflict, "this %s is configured in the %s; only enabled can be changed here", kind, source)
		}
		if err := json.Unmarshal(value, &o.Enabled); err != nil {
			return &proxy.Fault{Kind: proxy.InvalidRequest, Param: "enabled", Public: "enabled must be true, false or null"}
		}
	}
	change := state.Change{Kind: state.OverrideItem, ID: overrideID(kind, id), Expect: state.Anything}
	detail := "as configured"
	if o.Enabled != nil && *o.Enabled != configured {
		if change.Value, err = c.write(change.Kind, change.ID, o); err != nil {
			return asFault(err)
		}
		detail = fmt.Sprintf("enabled=%t", *o.Enabled)
	}
	return c.apply(ctx, who.note(kind+".override", id, detail), change)
}
