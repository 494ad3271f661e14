package usage

import (
	"time"

	"openai-api-proxy/pkg/state"
)

const (
	// mostHeld bounds the single requests that wait to be written; beyond it the oldest are forgotten. Sums are never.
	mostHeld = 10_000
	// mostLate bounds the minutes that are kept apart while nothing can be written: two hours. Beyond it the oldest count
	// for the next.
	mostLate = 120
)

// portion is what was used within a minute.
type portion struct {
	minute   time.Time
	sums     sums
	requests [][]byte // packed
}

func (p *portion) batch() state.Batch {
	return state.Batch{At: p.minute, Totals: p.sums.totals(), Series: p.sums.series(), Requests: p.requests}
}

// pending is what is not written yet. Meter.mu guards it.
type pending struct {
	now  portion   // since the last cut; it has no minute yet
	late []portion // oldest first, each of its own minute

	held      int // requests in all of them
	forgotten int // requests that were too many, since somebody asked
}

func newPending() pending { return pending{now: portion{sums: sums{}}} }

// remember adds a packed request.
func (p *pending) remember(r []byte) {
	p.now.requests = append(p.now.requests, r)
	p.held++
	p.forget()
}

// forget drops the oldest requests while there are too many.
func (p *pending) forget() {
	for ; p.held > mostHeld; p.held-- {
		oldest := &p.now
		for i := range p.late {
			if len(p.late[i].requests) > 0 {
				oldest = &p.late[i]
				break
			}
		}
		oldest.requests[0] = nil // it may go
		oldest.requests = oldest.requests[1:]
		p.forgotten++
	}
}

// cut gives what came together its minute, which is that of the write: a batch spans 100 ms, so at the turn of a minute usage
// is at most so much late. It is given once, however long the write is put off. It returns how many portions there are.
func (p *pending) cut(now time.Time) int {
	if len(p.now.sums) > 0 {
		p.now.minute = state.ByMinute.Start(now)
		p.late = append(p.late, p.now)
		p.now = portion{sums: sums{}}
		if n := len(p.late); n > 1 && p.late[n-2].minute.Equal(p.late[n-1].minute) {
			p.join(n - 2)
		} else if n > mostLate {
			p.join(0)
		}
	}
	return len(p.late)
}

// join adds a portion to the one after it.
func (p *pending) join(i int) {
	older, newer := &p.late[i], &p.late[i+1]
	newer.sums.merge(older.sums.list())
	newer.requests = append(older.requests, newer.requests...)
	p.late = append(p.late[:i], p.late[i+1:]...)
}

// take removes the oldest portion, which is on its way then.
func (p *pending) take() portion {
	oldest := p.late[0]
	p.late = p.late[1:]
	p.held -= len(oldest.requests)
	return oldest
}

// putBack undoes take.
func (p *pending) putBack(oldest portion) {
	p.late = append([]portion{oldest}, p.late...)
	p.held += len(oldest.requests)
	p.forget()
}

// sums are those of all portions.
func (p *pending) sums() sums {
	all := sums{}
	for _, l := range p.late {
		all.merge(l.sums.list())
	}
	all.merge(p.now.sums.list())
	return all
}
