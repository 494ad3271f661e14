package chaos

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// killsLoseNothing says what is promised of finished requests when their replica is killed: true, that all have their rows; false,
// that what it had not told Redis yet may be missing, and no more than that: see lostTail. Replicas here keep a journal; false is
// for those that have no DATA_DIR.
const killsLoseNothing = true

const (
	// flushEvery is how often a replica tells Redis what it counted; see pkg/usage.
	flushEvery = 100 * time.Millisecond
	// stale is how long a caller may still take the connection to a replica that was killed for a good one.
	stale = 250 * time.Millisecond
)

// books is how the rows of the ledger stand against what callers saw.
type books struct {
	calls, doubled, lost          int64
	unfinished, atTheEdge, unseen int64 // requests that need no row, and rows of requests that no caller knows
	tail, outage                  tail  // rows that kills took with them: while Redis answered, and while it was away
}

// tail is rows that were lost by kills, and how long before their kill the oldest had ended.
type tail struct {
	rows int64
	age  time.Duration
}

func (t *tail) add(age time.Duration) { t.rows, t.age = t.rows+1, max(t.age, age) }

func (t tail) String() string {
	return fmt.Sprintf("%d, ended %v before at most", t.rows, t.age.Round(time.Millisecond))
}

// checkLedger holds every call against its row, and every row against the bill.
func (v *verdict) checkLedger(s *storm, calls []*call, l *ledger) {
	var b books
	byID, byExchange := map[string]*row{}, map[string]*row{}
	for i := range l.rows {
		r := &l.rows[i]
		if byID[r.ID] != nil {
			b.doubled++
		}
		byID[r.ID], byExchange[r.Upstream] = r, r
	}
	tries := s.upstream.byTag()
	silent := int64(0)
	for _, c := range calls {
		if c.end == refused {
			continue
		}
		r := byID[c.id]
		for _, e := range tries[c.tag] {
			if c.id == "" && r == nil { // its caller was cut before the headers had left
				r = byExchange[e.id]
			}
		}
		if r != nil {
			delete(byID, r.ID)
		} else if c.id == "" {
			silent++
		}
		v.checkCall(s.fleet[c.replica], c, r, tries[c.tag], &b)
	}
	b.unseen = int64(len(byID))
	v.check(b.unseen <= silent, "%d rows are of no request: %.200v", b.unseen, slices.Collect(maps.Keys(byID)))
	v.check(b.doubled == 0, "%d requests have two rows", b.doubled)
	v.figure("ledger against the upstream's bill", "%d requests, %d rows: %d lost, %d doubled; %d say what was billed, %d at most that",
		b.calls, len(l.rows), b.lost, b.doubled, v.exact, v.partial)
	v.figure("  rows lost by kills", "%v; with Redis away %v", b.tail, b.outage)
	v.figure("  no row needed", "%d unfinished at a kill, %d within 50 ms of it; %d rows of callers who saw nothing",
		b.unfinished, b.atTheEdge, b.unseen)
	v.checkExchanges(l, tries)
	v.checkSums(l, b)
}

// checkCall looks for the row of a call; r is nil when there is none.
func (v *verdict) checkCall(replica *replica, c *call, r *row, exchanges []*exchange, b *books) {
	b.calls++
	edge := v.pacer.edge(c.ended)
	killed, kill := replica.killedAfter(c.ended)
	switch {
	case r != nil:
		v.checkRow(c, r, exchanges, replica.killed(c.sent, c.ended.Add(edge)))
	case c.end == unanswered && replica.killed(c.sent.Add(-stale-edge), c.ended), c.end == cut && replica.killed(c.sent, c.ended):
		b.unfinished++
	case !(killsLoseNothing && c.end == whole) && replica.killed(c.ended.Add(-edge), c.ended.Add(edge)): // before: a caller reads what a replica had sent when it was killed
		b.atTheEdge++
	case c.id == "" && len(exchanges) == 0:
		v.fail("%s was not answered by replica %d, which ran: %v; this machine was %v late", c.tag, c.replica, c.why,
			v.pacer.lateIn(span{c.sent, c.ended}))
	case killed && !killsLoseNothing && v.lostTail(c.ended, kill, &b.tail, &b.outage):
	default:
		b.lost++
		v.fail("%s (%s) has no row: it ended %v with %d on replica %d, %v before a kill (%t); this machine was %v late", c.tag, c.id,
			c.end, c.status, c.replica, kill.Sub(c.ended), killed, v.pacer.lateIn(span{c.ended.Add(-around), c.ended.Add(around)}))
	}
}

// lostTail reports whether a replica that keeps no journal may have had a row only in memory when it was killed, and counts it then:
// one that was written down within the interval of its last write, or since the last write before Redis was away. Redis may take as
// long to be written to again as it may take to be used again.
func (v *verdict) lostTail(ended, kill time.Time, calm, outage *tail) bool {
	age, last := kill.Sub(ended), flushEvery+v.pacer.edge(ended)+v.pacer.edge(kill)
	if age <= last {
		calm.add(age)
		return true
	}
	for _, away := range v.away {
		if kill.After(away.from) && kill.Before(away.to.Add(recovery)) && ended.After(away.from.Add(-last)) {
			outage.add(age)
			return true
		}
	}
	return false
}

// checkRow holds a row against its caller and the exchanges of its attempts. With a kill in between its caller may have seen
// less than was written down.
func (v *verdict) checkRow(c *call, r *row, exchanges []*exchange, killed bool) {
	v.check(r.Client == c.client, "%s: the row is of client %s", c.tag, r.Client)
	if !killed && c.end == whole {
		v.check(r.Status == c.status, "%s: its caller saw %d, the row says %d", c.tag, c.status, r.Status)
		v.check((r.Outcome == "succeeded") == (c.status < 400), "%s: it ended whole with %d, the row says %s", c.tag, c.status, r.Outcome)
	}
	if !killed && c.end == cut {
		v.check(r.Outcome == "failed", "%s: its answer was cut, the row says %s", c.tag, r.Outcome)
	}
	v.check(len(r.Attempts) == len(exchanges), "%s: %d attempts, the upstream saw %d", c.tag, len(r.Attempts), len(exchanges))
	var billed *exchange
	for _, e := range exchanges {
		if e.input+e.output > 0 {
			billed = e
		}
	}
	if billed == nil {
		v.check(r.Tokens.Input+r.Tokens.Output == 0, "%s: nothing was billed, the row says %v tokens", c.tag, r.Tokens)
		return
	}
	switch {
	case r.TokensBasis == "exact":
		v.exact++
		v.check(r.Tokens.Input == billed.input && r.Tokens.Output == billed.output, "%s: the row says %v, the bill %d and %d",
			c.tag, r.Tokens, billed.input, billed.output)
	case c.end == whole && c.status < 400:
		v.fail("%s: it ended whole, and its usage is %q", c.tag, r.TokensBasis)
	default:
		v.partial++
		v.check(r.Tokens.Output <= billed.output, "%s: the row says %d tokens of output, the bill %d", c.tag, r.Tokens.Output, billed.output)
	}
}

// checkExchanges looks for exchanges that two rows name, or that a row names and nobody had.
func (v *verdict) checkExchanges(l *ledger, tries map[string][]*exchange) {
	had, named := map[string]bool{}, map[string]bool{}
	for _, exchanges := range tries {
		for _, e := range exchanges {
			had[e.id] = true
		}
	}
	for i := range l.rows {
		id := l.rows[i].Upstream
		if id == "" {
			continue
		}
		v.check(had[id] && !named[id], "row %s names the exchange %s, which nobody had, or another row too", l.rows[i].ID, id)
		named[id] = true
	}
}

// checkSums holds the totals and the series against the rows.
func (v *verdict) checkSums(l *ledger, b books) {
	var all sum
	clients := map[string]sum{}
	for i := range l.rows {
		r := &l.rows[i]
		one := sum{1, r.Tokens.Input, r.Tokens.Output}
		all = all.plus(one)
		clients[r.Client] = clients[r.Client].plus(one)
	}
	v.print("sums      rows %v, totals %v, minutes %v", all, l.totals, l.minutes)
	if b.tail.rows+b.outage.rows > 0 {
		return // what a batch had in more than one part may be lost in part
	}
	v.check(l.totals == all, "the totals say %v, the rows %v", l.totals, all)
	v.check(l.minutes == all, "the minutes say %v, the rows %v", l.minutes, all)
	v.check(maps.Equal(l.clients, clients), "the totals of clients say %v, the rows %v", l.clients, clients)
}
