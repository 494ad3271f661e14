package admission

import (
	"slices"
	"sync"
)

const (
	outputsKept  = 64   // answers of each client and model
	outputsKnown = 4096 // clients and models, in each of two generations
)

// outputs remembers how long the answers of each client and model were lately. It is in memory only: what is unknown is
// expected to be long.
type outputs struct {
	mu   sync.Mutex // guards both
	of   map[outputKey]*lengths
	last map[outputKey]*lengths // the generation before, forgotten next
}

type outputKey struct{ client, model string }

// lengths are those of some answers, in a ring, and how long they are but for one in twenty.
type lengths struct {
	ring   [outputsKept]int64
	sorted [outputsKept]int64 // the same
	n      int
	p95    int64
}

// see takes the place of the oldest.
func (l *lengths) see(output int64) {
	held := l.sorted[:min(l.n, outputsKept)]
	if l.n >= outputsKept {
		i, _ := slices.BinarySearch(held, l.ring[l.n%outputsKept])
		held = slices.Delete(held, i, i+1)
	}
	i, _ := slices.BinarySearch(held, output)
	held = slices.Insert(held, i, output) // there is room
	l.ring[l.n%outputsKept] = output
	l.n++
	l.p95 = held[(len(held)*95+99)/100-1]
}

func newOutputs() *outputs { return &outputs{of: map[outputKey]*lengths{}} }

func (o *outputs) findLocked(key outputKey) *lengths {
	if found := o.of[key]; found != nil {
		return found
	}
	found := o.last[key]
	if found != nil {
		o.keepLocked(key, found)
	}
	return found
}

func (o *outputs) keepLocked(key outputKey, l *lengths) {
	if len(o.of) >= outputsKnown {
		o.last, o.of = o.of, map[outputKey]*lengths{}
	}
	o.of[key] = l
}

// expect is the output to expect: the 95th percentile of the latest, or guess.
func (o *outputs) expect(client, model string) int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	if l := o.findLocked(outputKey{client, model}); l != nil {
		return l.p95
	}
	return guess
}

// see notes the output of an answer.
func (o *outputs) see(client, model string, output int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	key := outputKey{client, model}
	l := o.findLocked(key)
	if l == nil {
		l = &lengths{}
		o.keepLocked(key, l)
	}
	l.see(output)
}
