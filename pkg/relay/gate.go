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
	if c.owner == "" && len(call.Client.Models) == 0 {
		return nil
	}
	m := &modelsNamed{may: call.Client.Models, session: call.Head.Model != ""}
	return func(text []byte) error {
		e := openai.ReadCallerEvent(text)
		for _, h := range e.Heads {
			switch {
			case !h.Readable:
				return errors.New("a message could not be read")
			case h.Doubled:
				return errors.New("model is given more than once")
			}
		}
		if err := m.allow(e, call.Op); err != nil {
			return err
		}
		for _, h := range e.Heads {
			if err := r.pointsWell(ctx, call, h, t); err != nil {
				return err
			}
		}
		return nil
	}
}

// modelsNamed are the models that a session has named, which are all to be of the client's list: what the upstream takes where
// none is named would be nobody's choice.
type modelsNamed struct {
	may     proxy.Patterns // empty: all
	session bool           // one that answers
	heard   bool           // one that writes down what is heard
}

var (
	errModel     = errors.New("this API key may not use the model")
	errUnnamed   = errors.New("model must be named: this API key is limited to certain models")
	errUnwritten = errors.New("the model of the transcription must be named: this API key is limited to certain models")
)

// allow says what is wrong with the models of an event. Over Realtime they hold for all that comes after it; each Responses
// event has its own.
func (m *modelsNamed) allow(e openai.CallerEvent, op openai.Operation) error {
	if len(m.may) == 0 {
		return nil
	}
	session := m.session
	for _, h := range e.Heads {
		if h.Model != "" && !m.may.Match(h.Model) {
			return errModel
		}
		session = session || h.Model != ""
	}
	for _, model := range e.Transcribers {
		switch {
		case model == "":
			return errUnwritten
		case !m.may.Match(model):
			return errModel
		}
		m.heard = true
	}
	switch {
	case op.Model == openai.NoModel:
		if e.Create && e.Heads[0].Model == "" {
			return errUnnamed
		}
		return nil
	case !session && (e.Create || !m.heard && !e.Configures):
		return errUnnamed
	}
	m.session = session
	return nil
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
