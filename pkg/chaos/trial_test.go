package chaos

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// trial is a load of strict clients on two replicas while something happens to what they share.
type trial struct {
	*verdict
	fleet    fleet
	upstream *bill
	traffic  *traffic
	began    time.Time
}

// strictClients is how many clients of a trial have quotas, so large that they are never reached: of tokens, and of requests,
// which tell how many admissions were counted.
const strictClients = 4

func startTrial(t *testing.T, found *report, url string, where redis.UniversalOptions) *trial {
	t.Helper()
	clients := []*client{{ID: "free", callers: 16}}
	for i := range strictClients {
		clients = append(clients, &client{ID: fmt.Sprintf("strict-%d", i), Mode: strict, callers: 16,
			Quota: []budget{{Tokens: 1 << 40, Period: "total"}, {Requests: 1 << 40, Period: "total"}}})
	}
	x := &trial{verdict: newVerdict(t, found, withTokens(clients), where), upstream: startUpstream(t)}
	x.fleet = startFleet(t, 2, "REDIS_URL="+url, "OPENAI_BASE_URL="+x.upstream.url, "CONFIG_FILE="+writeConfig(t, clients))
	x.traffic = newTraffic(x.fleet, clients, 1)
	x.traffic.pause, x.traffic.stay = 40*time.Millisecond, true
	x.began = time.Now()
	x.traffic.start()
	time.Sleep(2 * time.Second)
	return x
}

// result is what a trial found.
type result struct {
	calls      []*call
	gap        time.Duration // the longest time without an admission of a strict client
	failed     int           // calls of the client without limits that were not served
	uncounted  int64         // admissions that the state does not know, and those that it knows and nobody had
	unknown    int64
	lost       int64 // rows
	doubled    int64
	billed     int64 // tokens of strict clients
	counted    int64
	unanswered int
}

// end stops the load and says what was lost.
func (x *trial) end(what string) (r result) {
	time.Sleep(2 * time.Second)
	r.calls = x.traffic.end()
	x.check(within(10*time.Second, func() bool { return x.upstream.running() == 0 }), "the upstream still answers somebody")
	l, err := settledLedger(x.fleet[0])
	if err != nil {
		x.t.Fatal(err)
	}
	r.admissions(x)
	r.books(l)
	x.figure(what, "%d admissions forgotten, %d of %d rows lost, %d doubled; strict clients not admitted for %v",
		r.uncounted, r.lost, len(r.calls)-r.unanswered, r.doubled, r.gap.Round(10*time.Millisecond))
	x.print("%d calls, %d without a limit failed, %d unanswered; %d tokens billed, %d counted, %d requests counted that were none", len(r.calls),
		r.failed, r.unanswered, r.billed, r.counted, r.unknown)
	return r
}

// admissions counts those of strict clients against what the state knows.
func (r *result) admissions(x *trial) {
	tries := x.upstream.byTag()
	moments := []time.Time{x.began}
	for _, c := range x.clients {
		all := admissions(c.ID, r.calls, tries)
		if c.Mode != strict {
			continue
		}
		for _, a := range all {
			r.billed += a.tokens
			moments = append(moments, a.arrived)
		}
		r.counted += x.redisUsed(c.ID, "tokens/total")
		switch missing := int64(len(all)) - x.redisUsed(c.ID, "requests/total"); {
		case missing > 0:
			r.uncounted += missing
		default:
			r.unknown -= missing
		}
	}
	slices.SortFunc(moments, time.Time.Compare)
	for i := range moments[1:] {
		r.gap = max(r.gap, moments[i+1].Sub(moments[i]))
	}
}

// books counts the rows that are missing, or there twice.
func (r *result) books(l *ledger) {
	rows := map[string]int64{}
	for i := range l.rows {
		rows[l.rows[i].ID]++
	}
	for _, c := range r.calls {
		if c.client == "free" && (c.end != whole || c.status != 200) {
			r.failed++
		}
		switch n := rows[c.id]; {
		case c.id == "":
			r.unanswered++
		case n == 0:
			r.lost++
		default:
			r.doubled += n - 1
		}
	}
}
