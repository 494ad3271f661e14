package relay

import (
	"context"
	"errors"
	"slices"

	"openai-api-proxy/pkg/openai"
	"openai-api-proxy/pkg/proxy"
)

// gate looks at what the caller says in a session, each message before the upstream has it: it may point at the client's own
// objects only, in the account of the session's key, and name only models that the client may use. nil: there is nothing to
// look for, and messages pass as they come.
func (r *Relay) gate(ctx context.Context, c claim, call *proxy.Call, t *try) func(text []byte) error {
	models := call.Client.Models
	if c.owner == "" && len(models) == 0 {
		return nil
	}
	return func(text []byte) error {
		heads, create := openai.ReadEventHeads(text)
		for i, h := range heads {
			switch {
			case !h.Readable:
				return errors.New("a message could not be read")
			case h.Doubled:
				return errors.New("model is given more than once")
			case h.Model != "" && !models.Match(h.Model):
				return errors.New("this API key may not use the model")
			case h.Model == "" && i == 0 && create && call.Op.Model == openai.NoModel && len(models) > 0:
				return errors.New("model must be named: this API key is limited to certain models")
			}
			if err := r.pointsWell(ctx, call, h, t); err != nil {
				return err
			}
		}
		return nil
	}
}

// pointsWell checks what an event points at. What a realtime session calls items and conversations are its own.
func (r *Relay) pointsWell(ctx context.Context, call *proxy.Call, h openai.Head, t *try) error {
	said := *call
	said.Head, said.Query, said.Slots = h, "", openai.Slots{}
	if call.Op.Model == openai.ModelInQuery {
		said.Head.Items = nil
		said.Head.References = slices.DeleteFunc(slices.Clone(h.References), func(ref openai.Reference) bool {
			return ref.Family == openai.Items || ref.Family == openai.Conversations
		})
	}
	c, err := r.claim(ctx, &said, new(proxy.Record))
	var f *proxy.Fault
	switch {
	case errors.As(err, &f):
		return errors.New(f.Public)
	case err != nil:
		return err
	case c.account != "" && c.account != t.pick.Key.Account:
		return errors.New("a stored object lies in another account than this session")
	default:
		return nil
	}
}
