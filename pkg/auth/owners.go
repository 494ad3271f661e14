package auth

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
)

// store is what the owners of objects need of the shared state.
type store interface {
	KeepObjects(ctx context.Context, owner string, objects []proxy.Object) error
	FindObjects(ctx context.Context, owner string, ids []proxy.ObjectID) ([]proxy.Object, error)
	ForgetObjects(ctx context.Context, owner string, ids []proxy.ObjectID) error
	TakeObject(ctx context.Context, owner string, id proxy.ObjectID) (bool, error)
	ListObjects(ctx context.Context, owner string, q proxy.ObjectQuery) (proxy.ObjectPage, error)
}

// Owners knows whose the objects are that are stored upstream. What an owner has is remembered before its id reaches the
// caller, which costs the answer one round trip of a fraction of a millisecond: a follow-up through any replica finds it then,
// and a lookup that finds nothing need not wait and ask again, which every guess at an id would cost.
//
// While the state is away, what is made is remembered here and told later; whoever asks for anything else is told that
// nobody knows, never that it is not there, nor what another owner has.
type Owners struct {
	OwnersOptions
	waiting *waiting
}

// OwnersOptions are the parts of Owners.
type OwnersOptions struct {
	Store   store
	Log     *slog.Logger
	Metrics prometheus.Registerer
}

// NewOwners makes Owners. Close it.
func NewOwners(o OwnersOptions) *Owners {
	w := &Owners{OwnersOptions: o, waiting: newWaiting(o.Store, o.Log)}
	o.Metrics.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "oap_objects_waiting",
		Help: "Objects stored upstream whose owner could not be told to the shared state so far."}, w.waiting.size))
	return w
}

// Close tells once more what waits.
func (o *Owners) Close() error { o.waiting.close(); return nil }

// Keep remembers that the objects are the owner's. An object without a time was made just now. It does not fail: what the
// state does not take is told later.
func (o *Owners) Keep(ctx context.Context, owner string, objects []proxy.Object) {
	now := time.Now().UTC().Truncate(time.Second)
	for i := range objects {
		if objects[i].Created.IsZero() {
			objects[i].Created = now
		}
	}
	o.waiting.after(news{owner: owner, kept: objects}, func() error { return o.Store.KeepObjects(ctx, owner, objects) })
}

// Adopt is Keep for an operator, who is told when it failed. The error is a *proxy.Fault.
func (o *Owners) Adopt(ctx context.Context, owner string, objects []proxy.Object) error {
	return unanswered(o.Store.KeepObjects(ctx, owner, objects))
}

// Forget forgets objects that are gone. It does not fail either.
func (o *Owners) Forget(ctx context.Context, owner string, ids []proxy.ObjectID) {
	o.waiting.after(news{owner: owner, gone: ids}, func() error { return o.Store.ForgetObjects(ctx, owner, ids) })
}

// Disown is Forget for an operator, who is told when it failed. The error is a *proxy.Fault.
func (o *Owners) Disown(ctx context.Context, owner string, ids []proxy.ObjectID) error {
	return unanswered(o.Store.ForgetObjects(ctx, owner, ids))
}

// Find returns those of the ids that are the owner's. The error is a *proxy.Fault, and means that nobody knows.
func (o *Owners) Find(ctx context.Context, owner string, ids []proxy.ObjectID) (map[proxy.ObjectID]proxy.Object, error) {
	here, all := o.waiting.find(owner, ids) // first: what is told meanwhile is in the store then
	found, err := o.Store.FindObjects(ctx, owner, ids)
	if err != nil && !all {
		return nil, unanswered(err)
	}
	known := make(map[proxy.ObjectID]proxy.Object, len(found))
	for _, object := range found {
		known[object.ObjectID] = object
	}
	for id, object := range here {
		if known[id] = object; object.Account == "" { // it is gone
			delete(known, id)
		}
	}
	return known, nil
}

// Take forgets an object, and reports whether it was there: of several who take one, one gets it. The error is a *proxy.Fault,
// and means that nobody knows, also while something of the owner waits to be told.
func (o *Owners) Take(ctx context.Context, owner string, id proxy.ObjectID) (bool, error) {
	if o.waiting.has(owner) {
		return false, unanswered(state.ErrUnavailable)
	}
	taken, err := o.Store.TakeObject(ctx, owner, id)
	return taken, unanswered(err)
}

// List lists what the owner has. The error is a *proxy.Fault: NotFound when the list cannot go on where it should.
func (o *Owners) List(ctx context.Context, owner string, q proxy.ObjectQuery) (proxy.ObjectPage, error) {
	if o.waiting.has(owner) { // for a moment: what waits is missing in the list
		return proxy.ObjectPage{}, unanswered(state.ErrUnavailable)
	}
	page, err := o.Store.ListObjects(ctx, owner, q)
	if errors.Is(err, state.ErrNoObject) {
		return page, proxy.Faultf(proxy.NotFound, "there is no such object")
	}
	return page, unanswered(err)
}

// unanswered is the fault for what the state could not answer.
func unanswered(err error) error {
	if err == nil {
		return nil
	}
	return &proxy.Fault{Kind: proxy.StateUnavailable, RetryAfter: time.Second, Err: err,
		Public: "the shared state does not answer, so nobody knows whose the stored objects are"}
}
