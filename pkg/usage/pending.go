package usage

import (
	"time"

	"openai-api-proxy/pkg/journal"
	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
)

const (
	// mostHeld bounds the single requests that wait in memory to be written. Beyond it those that are in the journal are left
	// to it, and of the others the oldest are forgotten. Sums are never.
	mostHeld = 10_000
	// mostLate bounds the minutes that are kept apart while nothing can be written: two hours. Beyond it the oldest count
	// for the next.
	mostLate = 120
	// mostRows bounds what comes together to one batch of the journal, which is written at once: about 10 parts in Redis.
	mostRows = 5_000
)

// portion is what was used within a minute.
type portion struct {
	minute   time.Time
	sums     sums
	requests [][]byte // packed

	// The rest is of a portion in the journal.
	rows   int
	end    int64         // its rows are those before this number
	onDisk bool          // the requests are to be read there
	mark   journal.Batch // which batch it is; without a number: none yet. One that is does not change any more
}

func (p *portion) batch() state.Batch {
	return state.Batch{At: p.minute, Totals: p.sums.totals(), Series: p.sums.series(), Requests: p.requests}
}

// queue is what is not written yet, in its order.
type queue struct {
	now  portion   // since the last cut; it has no minute yet
	late []portion // oldest first, each of its own minute
}

// pending is what is not written yet. Meter.mu guards it.
type pending struct {
	kept  queue // in the journal; it is cut by who holds Meter.line
	loose queue // in memory only

	held      int // requests in all of them
	forgotten int // requests that were too many, since somebody asked
}

func newPending() pending {
	return pending{kept: queue{now: portion{sums: sums{}}}, loose: queue{now: portion{sums: sums{}}}}
}

// addLoose adds records that are in memory only.
func (p *pending) addLoose(all []*proxy.Record, names names, requests [][]byte) {
	now := &p.loose.now
	to := adding{sums: now.sums}
	for i, rec := range all {
		to.add(rec, names.of(rec))
		p.remember(now, requests[i])
	}
}

// addKept adds a record that is in the journal, as the row with this number.
func (p *pending) addKept(rec *proxy.Record, model string, request []byte, row int64) {
	now := &p.kept.now
	now.sums.add(rec, model)
	now.rows++
	now.end = row + 1
	if !now.onDisk {
		p.remember(now, request)
	}
}

// remember adds a packed request.
func (p *pending) remember(to *portion, request []byte) {
	to.requests = append(to.requests, request)
	p.held++
	p.forget()
}

// forget drops the oldest requests while there are too many.
func (p *pending) forget() {
	for p.held > mostHeld {
		if oldest := p.kept.oldest(); oldest != nil {
			p.held -= len(oldest.requests)
			oldest.requests, oldest.onDisk = nil, true
			continue
		}
		oldest := p.loose.oldest()
		oldest.requests[0] = nil // it may go
		oldest.requests = oldest.requests[1:]
		p.forgotten++
		p.held--
	}
}

// oldest is the first portion that holds requests.
func (q *queue) oldest() *portion {
	for i := range q.late {
		if len(q.late[i].requests) > 0 {
			return &q.late[i]
		}
	}
	if len(q.now.requests) > 0 {
		return &q.now
	}
	return nil
}

// cut gives what came together its minute, which is that of the write: a batch spans 100 ms, so at the turn of a minute usage
// is at most so much late. It is given once, however long the write is put off. It returns how many portions there are.
func (q *queue) cut(now time.Time) int {
	if len(q.now.sums) > 0 {
		q.now.minute = state.ByMinute.Start(now)
		q.late = append(q.late, q.now)
		q.now = portion{sums: sums{}}
		if n := len(q.late); n > 1 && q.late[n-2].minute.Equal(q.late[n-1].minute) && q.mayJoin(n-2) {
			q.join(n - 2)
		} else if n > mostLate {
			q.joinOldest()
		}
	}
	return len(q.late)
}

// mayJoin reports whether a portion may be added to the one after it.
func (q *queue) mayJoin(i int) bool {
	older, newer := &q.late[i], &q.late[i+1]
	return older.mark.Number == 0 && older.onDisk == newer.onDisk && older.rows+newer.rows <= mostRows
}

// joinOldest joins the oldest two portions that may be. If there are none, there are as many as the journal has room for.
func (q *queue) joinOldest() {
	for i := range len(q.late) - 1 {
		if q.mayJoin(i) {
			q.join(i)
			return
		}
	}
}

// join adds a portion to the one after it.
func (q *queue) join(i int) {
	older, newer := &q.late[i], &q.late[i+1]
	newer.sums.merge(older.sums.list())
	newer.requests = append(older.requests, newer.requests...)
	newer.rows += older.rows
	q.late = append(q.late[:i], q.late[i+1:]...)
}

// take removes the oldest portion of a queue, which is on its way then.
func (p *pending) take(q *queue) portion {
	oldest := q.late[0]
	q.late = q.late[1:]
	p.held -= len(oldest.requests)
	return oldest
}

// putBack undoes take.
func (p *pending) putBack(q *queue, oldest portion) {
	q.late = append([]portion{oldest}, q.late...)
	p.held += len(oldest.requests)
	p.forget()
}

// sums are those of all portions of a queue.
func (q *queue) sums() sums {
	all := sums{}
	for _, l := range q.late {
		all.merge(l.sums.list())
	}
	all.merge(q.now.sums.list())
	return all
}

// sums are those of all portions.
func (p *pending) sums() sums {
	all := p.kept.sums()
	all.merge(p.loose.sums().list())
	return all
}
