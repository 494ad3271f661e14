package relay

import (
	"context"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"openai-api-proxy/pkg/openai"
	"openai-api-proxy/pkg/proxy"
)

// owners knows whose the objects are that are stored upstream. Errors are *proxy.Fault.
type owners interface {
	Keep(ctx context.Context, owner string, objects []proxy.Object)
	Forget(ctx context.Context, owner string, ids []proxy.ObjectID)
	Find(ctx context.Context, owner string, ids []proxy.ObjectID) (map[proxy.ObjectID]proxy.Object, error)
	Take(ctx context.Context, owner string, id proxy.ObjectID) (bool, error)
	List(ctx context.Context, owner string, q proxy.ObjectQuery) (proxy.ObjectPage, error)
}

// claim is what a call has to do with objects that are stored upstream. The zero claim is that of a call which need not ask
// whose they are: there is one account and one client, so that all are its own and lie where every key reaches them.
type claim struct {
	owner   string // empty: nobody asks, and nothing is remembered
	account string // in which the objects lie that the call points at; empty: any will do
	soft    bool   // another account will do, too

	known map[proxy.ObjectID]proxy.Object // those of the client's at which the call points
}

// claim finds out whether the objects are the client's that the call points at, and in which account they lie. What is
// another's is not there: the answer is the same, and no key is picked for either. It costs a round trip to the state when
// the call points at something, and none when it does not.
func (r *Relay) claim(ctx context.Context, call *proxy.Call, rec *proxy.Record) (c claim, err error) {
	if r.Shared == nil || !r.Shared(call.Client.Pool) {
		c.known = r.unsettled(ctx, call)
		return c, nil
	}
	c.owner = call.Client.Owner()
	if err = readable(call); err != nil {
		return c, err
	}
	if s := call.Head.Searches; s != "" {
		return c, searches(s)
	}
	pointed, err := references(call)
	switch {
	case err != nil:
		return c, err
	case len(pointed)+len(call.Head.Items) == 0:
		c.account, c.soft = r.beside(ctx, c.owner, call.Op)
		return c, nil
	}
	c.known, err = r.Owners.Find(ctx, c.owner, append(idsOf(pointed, call.Head.Items), settleable(call)...))
	if err == nil {
		c.account, err = accountOf(pointed, call.Head.Items, c.known)
	}
	if err == nil {
		err = r.inputs(ctx, c, call, rec)
	}
	return c, err
}

// lists reports whether the answer to an operation is a list that is made here.
func (c claim) lists(op *openai.Operation) bool {
	return c.owner != "" && op.Objects != nil && op.Objects.Lists != nil
}

// references are the objects at which a call points: in its path, its query and its body.
func references(call *proxy.Call) (all []openai.Reference, err error) {
	for i, id := range call.Slots {
		if id == "" {
			break
		}
		if family := familyOfSlot(call.Op, i, id); family != "" {
			all = append(all, openai.Reference{Family: family, ID: id})
		}
	}
	if call.Query != "" {
		query, err := url.ParseQuery(call.Query)
		if err != nil {
			return nil, &proxy.Fault{Kind: proxy.InvalidRequest, Public: "the query could not be read", Err: err}
		}
		all = append(all, openai.ReferencesInQuery(query)...)
		if call.Op.Socket {
			for _, id := range query["call_id"] { // elsewhere the name is that of a tool's call
				all = append(all, openai.Reference{Param: "call_id", Family: openai.Calls, ID: id})
			}
		}
		if call.Op.Objects == nil || call.Op.Objects.Lists == nil {
			all = append(all, cursors(query, call.Slots)...)
		}
	}
	all = append(all, besides(call.Header)...)
	return append(all, call.Head.References...), nil
}

// familyOfSlot is of what family the content of a slot must be. Of an operation that a setting opened, the table does not
// know: there the id says it.
func familyOfSlot(op openai.Operation, i int, id string) openai.Family {
	switch o := op.Objects; {
	case o == nil && op.Model != openai.ModelInPath:
		return openai.FamilyOf(id)
	case o != nil && i < len(o.Slots):
		return o.Slots[i]
	}
	return ""
}

// cursors are the objects at which a list within an object is to go on. Most are names within it and none of a family; those of
// the messages of a stored completion begin like one, with the id of theirs.
func cursors(query url.Values, slots openai.Slots) (all []openai.Reference) {
	for _, name := range []string{"after", "before"} {
		for _, id := range query[name] {
			if family := openai.FamilyOf(id); family != "" && !(slots[0] != "" && strings.HasPrefix(id, slots[0]+"-")) {
				all = append(all, openai.Reference{Param: name, Family: family, ID: id})
			}
		}
	}
	return all
}

// idsOf are the ids to be asked for, each once. What cannot be an id is nobody's, and not asked for.
func idsOf(pointed []openai.Reference, items []string) (ids []proxy.ObjectID) {
	seen := make(map[proxy.ObjectID]bool, len(pointed)+len(items))
	add := func(id proxy.ObjectID) {
		if !seen[id] && openai.IsObjectID(id.ID) {
			seen[id] = true
			ids = append(ids, id)
		}
	}
	for _, p := range pointed {
		add(proxy.ObjectID{Family: p.Family, ID: p.ID})
	}
	for _, id := range items {
		add(proxy.ObjectID{Family: openai.Items, ID: id})
	}
	return ids
}

// accountOf is the account in which all of the objects lie. Items that are given whole need not be known; where only they
// say something, the latest of them does, since the upstream may look up what it thought then.
func accountOf(pointed []openai.Reference, items []string, found map[proxy.ObjectID]proxy.Object) (account string, err error) {
	for _, p := range pointed {
		object, known := found[proxy.ObjectID{Family: p.Family, ID: p.ID}]
		switch {
		case !known:
			return "", &proxy.Fault{Kind: proxy.NotFound, Param: p.Param, Public: "there is no such object"}
		case account == "":
			account = object.Account
		case account != object.Account:
			return "", &proxy.Fault{Kind: proxy.InvalidRequest, Param: p.Param,
				Public: "the stored objects of this request lie in two accounts of the upstream, and no key reaches both; make one " +
					"beside the other, whose id the header " + besideHeader + " takes"}
		}
	}
	for i := len(items) - 1; i >= 0 && account == ""; i-- {
		account = found[proxy.ObjectID{Family: openai.Items, ID: items[i]}].Account
	}
	return account, nil
}

// readable refuses a body that could point at objects of others and cannot be read. A file that is uploaded points at none,
// nor does a form that only names a model. Of another form all but a large file must be read, which passes if it comes last.
func readable(call *proxy.Call) error {
	if call.Head.Readable || call.Body.Length == 0 {
		return nil
	}
	switch call.Op.Model {
	case openai.NoModel, openai.ModelInPath:
		return nil
	case openai.ModelInForm:
		contentType := call.Header.Get("Content-Type")
		kind, _, _ := mime.ParseMediaType(contentType)
		switch {
		case kind != "multipart/form-data" || call.Header.Get("Content-Encoding") != "":
		case !call.Op.Unnamed:
			return nil
		case call.Head.InFile && call.Body.Rest != nil:
			call.Body.Rest = openai.NewLastFile(contentType, call.Body.Held, call.Body.Rest)
			return nil
		}
	}
	return proxy.Faultf(proxy.InvalidRequest, "with more than one account or client the body must be readable, without Content-Encoding "+
		"and within limits.replayBytes: it could point at stored objects of others")
}

// drop forgets the object that a call deleted, before its caller hears of that.
func (r *Relay) drop(ctx context.Context, c claim, call *proxy.Call, v *proxy.Verdict) {
	o := call.Op.Objects
	if c.owner == "" || o == nil || !o.Drops || v.Outcome != proxy.Served || v.Status >= http.StatusMultipleChoices {
		return
	}
	last := len(o.Slots) - 1
	r.Owners.Forget(context.WithoutCancel(ctx), c.owner, []proxy.ObjectID{{Family: o.Slots[last], ID: call.Slots[last]}})
}
