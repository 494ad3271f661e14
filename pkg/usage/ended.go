package usage

import (
	"bytes"
	"slices"
	"sync"

	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
)

const (
	// mostEnded is how many requests may wait to be summed. Who makes it more sums them himself.
	mostEnded = 1024
	// packedTogether is how many are packed into one piece of memory, which is kept until none of them is.
	packedTogether = 64
	// scratchKept bounds what is kept for the next ones to be packed in.
	scratchKept = 64 << 10
)

// ended are finished requests that are not summed yet. Without a journal nothing depends on when that is done, as long as it is
// before they are written or asked for; and many at once cost less than each on its way, with caches that know nothing of it.
type ended struct {
	mu      sync.Mutex // guards waiting; not held while they are summed
	waiting []*proxy.Record

	// Meter.mu guards these.
	spare   []*proxy.Record
	scratch []byte
}

// add takes a record over and reports whether there are too many.
func (e *ended) add(rec *proxy.Record) (crowded bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.waiting = append(e.waiting, rec)
	return len(e.waiting) > mostEnded
}

// take returns what waits, in its order. It is to be given back.
func (e *ended) take() []*proxy.Record {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := e.waiting
	e.waiting, e.spare = e.spare[:0], nil
	return all
}

func (e *ended) giveBack(all []*proxy.Record) {
	clear(all) // they may go
	e.spare = all
}

// pack packs the requests as they can be looked up.
func (e *ended) pack(all []*proxy.Record, replica string) [][]byte {
	var room [usualTries]state.Tried
	text, ends := e.scratch[:0], [packedTogether]int{}
	for i, rec := range all {
		r := remembered(rec, replica, room[:0])
		text = r.AppendPacked(text)
		ends[i] = len(text)
	}
	if e.scratch = text; cap(text) > scratchKept {
		e.scratch = nil
	}
	text = bytes.Clone(text)
	packed, begin := make([][]byte, len(all)), 0
	for i := range packed {
		packed[i], begin = text[begin:ends[i]:ends[i]], ends[i]
	}
	return packed
}

// sum adds what waits to what is pending.
func (m *Meter) sum() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sumLocked()
}

func (m *Meter) sumLocked() {
	all := m.ended.take()
	for some := range slices.Chunk(all, packedTogether) {
		m.pending.addLoose(some, m.names, m.ended.pack(some, m.replica))
	}
	m.ended.giveBack(all)
	m.tellLocked()
}
