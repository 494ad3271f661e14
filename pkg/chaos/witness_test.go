package chaos

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// witness looks at every replica again and again, for whether it has decided without Redis: on a busy machine Redis may be too
// slow for that at any time.
type witness struct {
	stop chan struct{}
	done sync.WaitGroup

	mu      sync.Mutex // guards the rest
	alone   []span     // in which some replica decided without Redis
	unknown []span     // in which it may have: it was killed before it could be asked
}

// lookEvery is how often it looks.
const lookEvery = 200 * time.Millisecond

func watch(f fleet) *witness {
	w := &witness{stop: make(chan struct{})}
	for _, r := range f {
		w.done.Go(func() { w.follow(r) })
	}
	return w
}

func (w *witness) end() {
	close(w.stop)
	w.done.Wait()
}

func (w *witness) follow(r *replica) {
	last, before := 0., time.Now()
	for {
		select {
		case <-w.stop:
			return
		case <-time.After(lookEvery):
		}
		begin := time.Now()
		n, err := r.undecided()
		if err != nil { // it is down, or too slow: the next look covers this time too, unless it begins to count anew
			continue
		}
		now := time.Now()
		switch {
		case n > last:
			w.add(&w.alone, span{before, now})
		case n < last || r.killed(before, now):
			w.add(&w.unknown, span{before, now})
		}
		last, before = n, begin
	}
}

func (w *witness) add(to *[]span, s span) {
	w.mu.Lock()
	defer w.mu.Unlock()
	*to = append(*to, s)
}

// undecided is how many limits the replica decided without Redis.
func (r *replica) undecided() (n float64, err error) {
	var text string
	if err := r.api("/metrics", &text); err != nil {
		return 0, err
	}
	const name = "\noap_admission_undecided_total "
	_, rest, found := strings.Cut(text, name)
	if !found {
		return 0, fmt.Errorf("no metric %s", name)
	}
	_, err = fmt.Sscan(rest, &n)
	return n, err
}

// calms are the stretches of a span in which certainly no replica decided alone, and Redis was not away.
func (w *witness) calms(all span, outages []span) (calms []span) {
	w.mu.Lock()
	away := slices.Concat(w.alone, w.unknown, outages)
	w.mu.Unlock()
	slices.SortFunc(away, func(a, b span) int { return a.from.Compare(b.from) })
	from := all.from
	for _, a := range append(away, span{all.to, all.to}) {
		if a.from.After(from) {
			calms = append(calms, span{from, a.from})
		}
		if a.to.After(from) {
			from = a.to
		}
	}
	return calms
}
