package alert

import (
	"fmt"
	"strings"
	"time"

	"openai-api-proxy/pkg/proxy"
)

// Key is how a key is, as far as it matters here.
type Key struct {
	ID, Pool string
	State    proxy.Reason // proxy.Invalid and proxy.Exhausted are told of; other values are not
	Usable   bool
	Proving  bool // its rest is over and nothing has shown yet whether it is well
	Spent    bool // exhausted by a quota of its own, which is told as such
}

// lasting is something that goes on until it ends.
type lasting struct {
	since  time.Time // when it was seen first, by this replica
	gone   time.Time // since when it is not seen any more; zero: it is
	look   int64     // in which it was seen last
	told   bool      // by this replica or another
	logged bool      // that nobody could be told
	token  string    // under which it is told, or ended
}

// A lasting name is "<event>/<key or pool>".
func lastingName(e Event, id string) string { return string(e) + "/" + id }

// delay is how long it must last before it is told: keys are judged with care, and a pool may run dry for a moment.
func (w *Watch) delay(name string) time.Duration {
	if strings.HasPrefix(name, string(PoolEmpty)+"/") {
		return w.Lasts
	}
	return 0
}

// see notes what lasts in this look.
func (w *Watch) see(now time.Time) {
	w.looks++
	pools := map[string]pool{}
	for k := range w.Keys() {
		pools[k.Pool] = pools[k.Pool].with(k)
		switch {
		case k.Proving: // what was the matter with it still is
			w.goesOn(lastingName(KeyInvalid, k.ID))
			w.goesOn(lastingName(KeyExhausted, k.ID))
		case k.State == proxy.Invalid:
			w.lasts(lastingName(KeyInvalid, k.ID), now)
		case k.State == proxy.Exhausted && !k.Spent:
			w.lasts(lastingName(KeyExhausted, k.ID), now)
		}
	}
	for id, p := range pools {
		if p.usable == 0 && (p.keys > 1 || !p.rests) {
			w.lasts(lastingName(PoolEmpty, id), now)
		}
	}
	for name, l := range w.lasting {
		switch {
		case l.look == w.looks:
		case !l.told: // it was for a moment only; if the answer was lost, it is adopted
			delete(w.lasting, name)
		case l.gone.IsZero():
			l.gone = now
		}
	}
}

// pool is the keys of one. A single key that rests only is used all the same, since no other could do better.
type pool struct {
	keys, usable int
	rests        bool
}

func (p pool) with(k Key) pool {
	p.keys++
	if k.Usable {
		p.usable++
	}
	p.rests = k.State == proxy.Cooling || k.State == proxy.Open
	return p
}

func (w *Watch) lasts(name string, now time.Time) {
	if w.lasting[name] == nil {
		w.lasting[name] = &lasting{since: now}
	}
	w.goesOn(name)
}

func (w *Watch) goesOn(name string) {
	if l := w.lasting[name]; l != nil {
		l.look, l.gone = w.looks, time.Time{}
	}
}

// adopt takes over what lasts in the state and is not known here: its replica may have gone before it ended.
func (w *Watch) adopt(names []string, now time.Time) {
	for _, name := range names {
		if l := w.lasting[name]; l != nil {
			l.told = true
		} else {
			w.lasting[name] = &lasting{since: now, gone: now, told: true}
		}
	}
}

// begun is what is told of a name that lasts, ended what is told when it does not any more.
func begun(name string) Alert {
	event, id, _ := strings.Cut(name, "/")
	a := Alert{Event: Event(event), Key: id}
	switch a.Event {
	case KeyInvalid:
		a.Text = "key " + id + " is refused by the upstream"
	case KeyExhausted:
		a.Text = "key " + id + " is out of credit at the upstream"
	case PoolEmpty:
		a.Key, a.Pool = "", &id
		a.Text = "no key of " + poolName(id) + " can be used"
	}
	return a
}

func ended(name string) Alert {
	a := begun(name)
	switch a.Event {
	case PoolEmpty:
		a.Event, a.Text = PoolRecovered, poolName(*a.Pool)+" has keys again that can be used, or is gone"
	case KeyInvalid:
		a.Event, a.Text = KeyRecovered, "key "+a.Key+" is refused no more, or is gone"
	default:
		a.Event, a.Text = KeyRecovered, "key "+a.Key+" is out of credit no more, or is gone"
	}
	return a
}

func poolName(id string) string {
	if id == "" {
		return "the common pool"
	}
	return fmt.Sprintf("the pool %s", id)
}
