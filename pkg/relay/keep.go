package relay

import (
	"context"
	"io"
	"net/http"

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
	if c.owner == "" || !makes(call) || v.Outcome != proxy.Served || v.Status >= http.StatusMultipleChoices {
		return nil
	}
	return func(contentType string) io.Writer {
		finder := openai.NewFinder(contentType, call.Op.Objects.Makes)
		if finder == nil {
			return nil
		}
		return &keeper{ctx: context.WithoutCancel(ctx), owners: r.Owners, finder: finder, owner: c.owner, in: t.pick.Key.Account,
			shown: len(call.Op.Objects.Slots) > 0, named: c.known}
	}
}

// makes reports whether the answer to a call may tell of an object that is the client's from then on.
func makes(call *proxy.Call) bool {
	o := call.Op.Objects
	if o == nil || len(o.Makes) == 0 {
		return false
	}
	switch o.When {
	case openai.IfStored:
		return call.Head.Store == openai.Yes || call.Head.Sound
	case openai.IfKept:
		return call.Head.Store != openai.No
	default:
		return true
	}
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
