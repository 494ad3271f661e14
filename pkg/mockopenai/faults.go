package mockopenai

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Fault makes requests fail. The zero values of all fields but Key and Kind mean: always, at once, for everything.
type Fault struct {
	Key  string `json:"key"` // which key it is for; "*" for every key without a matching fault of its own
	Kind string `json:"kind"`

	Count int64   `json:"count"` // how often it strikes; 0: until it is cleared
	Prob  float64 `json:"prob"`  // how likely, 0 to 1; 0: always
	Model string  `json:"model"` // only requests for this model
	Path  string  `json:"path"`  // only requests to this path: "/v1/embeddings"

	RetryAfter  float64 `json:"retry_after"`  // seconds for Retry-After, or for 429_reset its own header; 0: none
	AfterChunks int     `json:"after_chunks"` // chunks sent before a stream is hit; the first one has no text yet
	PauseMS     float64 `json:"pause_ms"`     // of silence; 0: until the caller leaves
	Location    string  `json:"location"`     // of redirect; default is a port on loopback where nothing listens
}

// noFault is the kind that clears the faults of a key: all of them, or those for its Model and Path if these are given.
const noFault = "none"

// Kinds returns what a Fault may do, sorted. Those that begin with a number answer with that status: 403_country and
// 403_model differ in their error code, 429_reset tells when to come back in x-ratelimit-reset-requests alone,
// 429_quota is out of credit, 500_html has an HTML page for a body. The others:
//
//	hang       no headers, ever
//	reset      RST before the headers
//	close      FIN before the headers
//	redirect   302 to another host
//	reset_mid  RST within the answer: after so many chunks, or half of a declared body
//	close_mid  FIN within the answer, without the last chunk of the transfer coding
//	error_mid  an error event within a stream, which then ends cleanly; 500 if it is no stream
//	garbage    what is neither JSON nor an event, within a stream, which then ends, or in place of a body
//	silence    a pause within the answer, which then goes on
//	none       clears
func Kinds() []string {
	kinds := slices.Collect(maps.Keys(refusals))
	kinds = slices.AppendSeq(kinds, maps.Keys(early))
	kinds = slices.AppendSeq(kinds, maps.Keys(midway))
	kinds = append(kinds, noFault)
	slices.Sort(kinds)
	return kinds
}

// Fault sets f in place of one with the same key, model and path; if several match a request, one of its own key goes
// before one of "*", and the newest first. A fault without key or of unknown kind is a mistake in a test, and panics.
func (s *Server) Fault(f Fault) {
	if err := f.check(); err != nil {
		panic("mockopenai: " + err.Error())
	}
	s.faults.set(f)
}

func (f Fault) check() error {
	if f.Key == "" {
		return fmt.Errorf(`a fault needs a key, or "*"`)
	}
	if kinds := Kinds(); !slices.Contains(kinds, f.Kind) {
		return fmt.Errorf("unknown kind %q; there are %s", f.Kind, strings.Join(kinds, " "))
	}
	return nil
}

// armed is a fault that may strike.
type armed struct {
	Fault
	left atomic.Int64 // of Count; below 0 when used up
}

// faultBook holds the faults. Reading costs one load while there are none.
type faultBook struct {
	mu  sync.Mutex // held while set is replaced
	all atomic.Pointer[[]*armed]
}

func (b *faultBook) set(f Fault) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var next []*armed
	if f.Kind != noFault {
		a := &armed{Fault: f}
		a.left.Store(f.Count)
		next = append(next, a)
	}
	for _, a := range b.list() {
		if !f.replaces(a.Fault) {
			next = append(next, a)
		}
	}
	b.all.Store(&next)
}

func (f Fault) replaces(old Fault) bool {
	if f.Key != old.Key {
		return false
	}
	if f.Kind == noFault {
		return (f.Model == "" || f.Model == old.Model) && (f.Path == "" || f.Path == old.Path)
	}
	return f.Model == old.Model && f.Path == old.Path
}

func (b *faultBook) clear() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all.Store(nil)
}

func (b *faultBook) list() []*armed {
	if all := b.all.Load(); all != nil {
		return *all
	}
	return nil
}

// take finds the fault that strikes a request, nil if none does.
func (b *faultBook) take(key, model, path string) *Fault {
	all := b.list()
	if len(all) == 0 {
		return nil
	}
	for _, whose := range [2]string{key, "*"} {
		for _, a := range all {
			if a.Key == whose && a.concerns(model, path) && a.strikes() {
				return &a.Fault
			}
		}
	}
	return nil
}

func (f Fault) concerns(model, path string) bool {
	return (f.Model == "" || f.Model == model) && (f.Path == "" || f.Path == path)
}

// strikes draws lots, then takes one of the count.
func (a *armed) strikes() bool {
	if a.Prob > 0 && rand.Float64() >= a.Prob {
		return false
	}
	return a.Count <= 0 || a.left.Add(-1) >= 0
}
