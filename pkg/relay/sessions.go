package relay

import (
	"errors"
	"sync"
	"time"

	"openai-api-proxy/pkg/balancer"
	"openai-api-proxy/pkg/proxy"
)

// sessions are those that are open here, whichever plan they began with. One may last for an hour, and what is taken from its
// client or its key meanwhile must not wait for its end. None has a goroutine for that: all are looked at when another plan comes
// into force, and each when something that it needs runs out.
type sessions struct {
	mu   sync.Mutex            // guards both, and what sessions say that it does
	open map[*session]struct{} // those that end already are gone
	keys *balancer.View        // in force; nil: nobody has said
}

func newSessions() *sessions { return &sessions{open: map[*session]struct{}{}} }

// Review ends the sessions that could not begin now. It is called when the plan has come into force.
func (r *Relay) Review() {
	s := r.sessions
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys = r.Keys
	for one := range s.open {
		s.reviewLocked(one)
	}
}

// begin looks after a session until leave is called: also of what has changed since its caller was let in. Of a call that is none
// there is nothing to look after.
func (s *session) begin() (leave func()) {
	if s == nil {
		return func() {}
	}
	all := s.relay.sessions
	all.mu.Lock()
	defer all.mu.Unlock()
	all.open[s] = struct{}{}
	if all.keys == nil {
		all.keys = s.relay.Keys
	}
	all.reviewLocked(s)
	return func() {
		all.mu.Lock()
		defer all.mu.Unlock()
		all.dropLocked(s)
	}
}

func (all *sessions) dropLocked(s *session) {
	delete(all.open, s)
	if s.runsOut != nil {
		s.runsOut.Stop()
	}
}

// reviewLocked ends a session that could not begin now, and looks again when it could not any more.
func (all *sessions) reviewLocked(s *session) {
	until, err := s.holds(all.keys)
	if err != nil {
		all.dropLocked(s)
		s.relay.Log.Info("a session is ended", "request", s.call.ID, "client", s.call.Client.ID, "key", s.pick.Key.ID, "reason", err)
		s.answer.End(err)
		return
	}
	if s.runsOut != nil {
		s.runsOut.Stop()
	}
	if until.IsZero() {
		return
	}
	s.runsOut = time.AfterFunc(time.Until(until)+time.Millisecond, func() { // not before it has
		all.mu.Lock()
		defer all.mu.Unlock()
		if _, open := all.open[s]; open {
			all.reviewLocked(s)
		}
	})
}

// holds says whether a session may go on, as its caller may read it, and until when that holds.
func (s *session) holds(keys *balancer.View) (until time.Time, err error) {
	if s.call.Still != nil {
		until, err = s.call.Still()
	}
	var f *proxy.Fault
	if errors.As(err, &f) {
		return until, errors.New(f.Public)
	}
	ends, holds := keys.Holds(s.pick.Key)
	if err == nil && !holds {
		err = errors.New("the upstream key of this session is no longer used; open another one")
	}
	return proxy.Sooner(until, ends), err
}
