package relay

import (
	"bytes"
	"context"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"openai-api-proxy/pkg/openai"
	"openai-api-proxy/pkg/proxy"
)

const (
	// mostListed bounds the objects on a page, each of which is asked for by itself.
	mostListed = 100
	// mostLookedAt bounds those that are looked at for a page that leaves some out.
	mostLookedAt = 500
	// askedAtOnce is how many objects of a page are asked for at the same time.
	askedAtOnce = 8
	// mostOfObject and mostOfPage bound bytes. A page that would have more ends before them.
	mostOfObject = 4 << 20
	mostOfPage   = 32 << 20
	// pageWritten bounds the time in which the caller takes a page.
	pageWritten = 30 * time.Second
)

// list answers with what the client has of a family, whatever accounts that lies in. Which objects and in what order is
// known here; how they are now is asked of the upstream, object by object, since its own lists are those of an account and
// hold what is others'.
func (r *Relay) list(ctx context.Context, w http.ResponseWriter, call *proxy.Call, rec *proxy.Record, owner string) error {
	p, err := readPaging(call)
	if err != nil {
		return err
	}
	l := &lister{relay: r, call: call, rec: rec, owner: owner, paging: p, reach: map[string]bool{}}
	if err := l.gather(ctx); err != nil {
		return err
	}
	if err := l.unreached(); err != nil {
		return err
	}
	body := l.body()
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	if l.out > 0 {
		w.Header().Set(leftOutHeader, strconv.Itoa(l.out))
	}
	control := http.NewResponseController(w)
	_ = control.SetWriteDeadline(time.Now().Add(pageWritten)) // a writer without deadlines, as in a test, is no reason to fail
	w.WriteHeader(http.StatusOK)
	rec.Status = http.StatusOK
	if rec.Method != http.MethodHead {
		rec.FirstByte = time.Since(rec.Start)
		n, err := w.Write(body)
		rec.BytesOut = int64(n)
		rec.Cut, rec.Gone = err != nil, err != nil
	}
	_ = control.SetWriteDeadline(time.Time{})
	return nil
}

// lister gathers one page.
type lister struct {
	relay *Relay
	call  *proxy.Call
	rec   *proxy.Record
	owner string
	paging

	all    [][]byte // the objects of the page, as the upstream shows them
	ids    []string // of them
	size   int
	looked int
	out    int // that lie in accounts of which no key is left
	more   bool

	reach map[string]bool // accounts, and whether there is a key
}

// leftOutHeader says how many objects a page would have besides, if there were a key of their account.
const leftOutHeader = "X-Proxy-Left-Out"

// unreached is the fault for a list of which nothing can be shown for want of keys: an empty one would say that there is nothing. Behind
// a page that showed something the list ends like any other.
func (l *lister) unreached() error {
	if l.out == 0 || len(l.all) > 0 || l.query.From != "" {
		return nil
	}
	return l.noKey()
}

func (l *lister) noKey() error {
	return proxy.Faultf(proxy.NoAvailableKey, "no key is left of the account in which these objects lie, %d of them", l.out)
}

// reached are those of the objects that lie in accounts of which there is a key. A key that only rests is waited for instead: what is
// left out looks as if it were gone.
func (l *lister) reached(objects []proxy.Object) []proxy.Object {
	all := len(objects)
	objects = slices.DeleteFunc(slices.Clone(objects), func(o proxy.Object) bool {
		reach, known := l.reach[o.Account]
		if !known {
			reach = l.relay.Keys.Reaches(l.call.Client.Pool, o.Account)
			l.reach[o.Account] = reach
		}
		return !reach
	})
	l.out += all - len(objects)
	return objects
}

// gather goes through what the owner has until the page is full. Behind a full page there is more when one more was seen
// that belongs on it.
func (l *lister) gather(ctx context.Context) error {
	q := l.query
	for {
		q.Limit = max(l.query.Limit-len(l.all), 1)
		if len(l.filters) > 0 {
			q.Limit = min(l.query.Limit+1, mostListed)
		}
		index, err := l.relay.Owners.List(ctx, l.owner, q)
		if err != nil {
			return err
		}
		objects := l.reached(index.Objects)
		shown, err := l.show(ctx, objects)
		if err != nil {
			return err
		}
		full := l.take(objects, shown)
		switch {
		case full:
			return nil
		case !index.More || len(index.Objects) == 0:
			return nil
		case len(l.all) == l.query.Limit && len(l.filters) == 0:
			l.more = true
			return nil
		}
		if l.looked += len(index.Objects); l.looked >= mostLookedAt {
			if len(l.all) > 0 {
				l.more = true // as far as anybody knows
				return nil
			}
			if l.out > 0 {
				return l.noKey()
			}
			return &proxy.Fault{Kind: proxy.InvalidRequest,
				Public: "none of the first " + strconv.Itoa(mostLookedAt) + " objects is of this kind; go on behind one of the others with after"}
		}
		q.From = index.Objects[len(index.Objects)-1].ID
	}
}

// take puts what belongs there on the page, and reports whether it found that there is more than has room.
func (l *lister) take(objects []proxy.Object, shown [][]byte) (full bool) {
	for i, text := range shown {
		if text == nil || !l.matches(text) {
			continue
		}
		if len(l.all) == l.query.Limit || len(l.all) > 0 && l.size+len(text) > mostOfPage {
			l.more = true
			return true
		}
		l.all, l.ids, l.size = append(l.all, text), append(l.ids, objects[i].ID), l.size+len(text)
	}
	return false
}

// show asks the upstream for objects, some at a time. One that is gone there is nil, and forgotten.
func (l *lister) show(ctx context.Context, objects []proxy.Object) (shown [][]byte, err error) {
	shown = make([][]byte, len(objects))
	errs := make([]error, len(objects))
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var all sync.WaitGroup
	places := make(chan struct{}, askedAtOnce)
	for i, object := range objects {
		places <- struct{}{}
		all.Go(func() {
			defer func() { <-places }()
			if ctx.Err() != nil {
				return // another one failed, or the caller is gone
			}
			if shown[i], errs[i] = l.relay.show(ctx, l.call, l.rec.Start, object); errs[i] != nil {
				stop()
			}
		})
	}
	all.Wait()
	for _, e := range errs {
		if e != nil && (err == nil || !callerLeft(e)) {
			err = e
		}
	}
	if err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, asFault(ctx.Err())
	}
	l.forget(ctx, objects, shown)
	l.told(ctx, objects, shown)
	return shown, nil
}

// told remembers of what the objects tell, as if each had been asked for by itself: who waits for a batch by looking at the
// list asks for its result next.
func (l *lister) told(ctx context.Context, objects []proxy.Object, shown [][]byte) {
	makes := l.call.Op.Objects.Lists.Makes
	if len(makes) == 0 {
		return
	}
	found := map[string][]openai.Sighting{} // by account
	for i, text := range shown {
		if text != nil {
			f := openai.NewFinder("application/json", makes)
			f.Write(text)
			found[objects[i].Account] = append(found[objects[i].Account], f.Found()...)
		}
	}
	for account, of := range found {
		k := &keeper{ctx: context.WithoutCancel(ctx), owners: l.relay.Owners, owner: l.owner, in: account, shown: true}
		k.keep(of)
	}
}

func (l *lister) forget(ctx context.Context, objects []proxy.Object, shown [][]byte) {
	var gone []proxy.ObjectID
	for i, text := range shown {
		if text == nil {
			gone = append(gone, objects[i].ObjectID)
		}
	}
	if len(gone) > 0 {
		l.relay.Owners.Forget(context.WithoutCancel(ctx), l.owner, gone)
	}
}

// show asks the upstream for one object; nil: it is not there any more.
func (r *Relay) show(ctx context.Context, call *proxy.Call, start time.Time, object proxy.Object) ([]byte, error) {
	one := sub(call, call.Op.Path+"/{id}", call.Path+"/"+object.ID)
	run := newRun(r, one, &proxy.Record{ID: call.ID, Start: start, Method: http.MethodGet}, object.Account)
	defer run.close()
	best, err := run.answer(ctx)
	if err != nil {
		return nil, err
	}
	text, err := best.answer.Whole(mostOfObject)
	switch status := best.verdict().Status; {
	case err != nil:
		return nil, &proxy.Fault{Kind: proxy.UpstreamError, Public: "the upstream did not show one of the objects to its end", Err: err}
	case status == http.StatusNotFound && openai.ReadError(text).Message != "":
		return nil, nil
	case status != http.StatusOK:
		return nil, proxy.Faultf(proxy.UpstreamError, "the upstream answered %d for one of the objects", status)
	}
	return bytes.TrimSpace(text), nil
}
