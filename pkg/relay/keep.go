package relay

import (
	"context"
	"io"
	"net/http"
	"slices"

	"openai-api-proxy/pkg/openai"
	"openai-api-proxy/pkg/proxy"
)

// keeper remembers the objects of which an answer tells, each before its id goes to the caller.
type keeper struct {
	ctx    context.Context // without an end: who hangs up owns what was made all the same
	owners owners
	finder *openai.Finder
	owner  string
	in     string // the account
	shown  bool   // the answer shows an object, and may tell of others that are known

	named map[proxy.ObjectID]proxy.Object // what the call pointed at, which need not be remembered again
}

// watch says who is to see the bytes of the answer of t; nil: nobody, since it tells of no object.
func (r *Relay) watch(ctx context.Context, c claim, call *proxy.Call, t *try) func(contentType string) io.Writer {
	v := t.verdict()
	wanted := makes(call)
	if c.owner == "" || len(wanted) == 0 || v.Outcome != proxy.Served || v.Status >= http.StatusMultipleChoices {
		return nil
	}
	return func(contentType string) io.Writer {
		finder := openai.NewFinder(contentType, wanted)
		if finder == nil {
			return nil
		}
		return &keeper{ctx: context.WithoutCancel(ctx), owners: r.Owners, finder: finder, owner: c.owner, in: t.pick.Key.Account,
			shown: len(call.Op.Objects.Slots) > 0, named: c.known}
	}
}

// makes are the objects of which the answer to a call may tell, and that are the client's from then on. What is not stored is
// remembered where it was made all the same, if it is given out sealed: no other account can open it when it comes back.
func makes(call *proxy.Call) []openai.Made {
	o := call.Op.Objects
	switch {
	case o == nil:
		return nil
	case o.When == openai.IfStored && call.Head.Store != openai.Yes && !call.Head.Sound:
		return nil
	case o.When == openai.IfKept && call.Head.Store == openai.No && call.Head.Sealed:
		return slices.DeleteFunc(slices.Clone(o.Makes), func(m openai.Made) bool { return m.Family != openai.Items })
	case o.When == openai.IfKept && call.Head.Store == openai.No:
		return nil
	}
	return o.Makes
}

func (k *keeper) Write(p []byte) (int, error) {
	k.finder.Write(p)
	if found := k.finder.Found(); len(found) > 0 {
		k.keep(found)
	}
	return len(p), nil
}

// keep remembers what was found. What is known already, and of which the answer does not say when it was made, stays as it
// is: it would move in every list each time somebody looks at the batch that it came from.
func (k *keeper) keep(found []openai.Sighting) {
	var undated []proxy.ObjectID
	for _, s := range found {
		id := proxy.ObjectID{Family: s.Family, ID: s.ID}
		if _, named := k.named[id]; k.shown && s.Created.IsZero() && !named {
			undated = append(undated, id)
		}
	}
	var known map[proxy.ObjectID]proxy.Object
	if len(undated) > 0 {
		known, _ = k.owners.Find(k.ctx, k.owner, undated) // who does not know keeps it anew
	}
	objects := make([]proxy.Object, 0, len(found))
	for _, s := range found {
		id := proxy.ObjectID{Family: s.Family, ID: s.ID}
		_, there := known[id]
		if _, named := k.named[id]; !there && !named {
			objects = append(objects, proxy.Object{ObjectID: id, Account: k.in, Created: s.Created})
		}
	}
	if len(objects) > 0 {
		k.owners.Keep(k.ctx, k.owner, objects)
	}
}
