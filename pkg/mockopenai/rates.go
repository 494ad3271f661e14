package mockopenai

import (
	"fmt"
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// rates is what was taken of the rate limits.
type rates struct {
	mu  sync.Mutex // guards all and what is in it
	all map[rated]*[2]bucket
}

// rated is what has limits of its own: an account and a model, as with the real one.
type rated struct{ account, model string }

// unit is what a limit counts.
type unit int

const (
	requests unit = iota
	tokens
)

var (
	unitNames  = [2]string{"requests", "tokens"}
	unitShorts = [2]string{"RPM", "TPM"}
	// What tells how a limit stands: limit, remaining, reset.
	unitHeads = [2][3]string{
		{"X-Ratelimit-Limit-Requests", "X-Ratelimit-Remaining-Requests", "X-Ratelimit-Reset-Requests"},
		{"X-Ratelimit-Limit-Tokens", "X-Ratelimit-Remaining-Tokens", "X-Ratelimit-Reset-Tokens"},
	}
)

// bucket is a limit by its theoretical arrival time (GCRA): when all that was taken has come back.
type bucket struct{ full time.Time }

// level is how a bucket stands.
type level struct {
	limit, left int64
	reset       time.Duration // until it is full again
}

// span is how long it takes until so many units have come back.
func span(n, limit int64, minute time.Duration) time.Duration {
	return time.Duration(float64(n) * float64(minute) / float64(limit))
}

// wait is how long it takes until the bucket holds so many; 0: it does.
func (b *bucket) wait(n, limit int64, minute time.Duration, now time.Time) time.Duration {
	return max(b.debt(now)+span(n, limit, minute)-minute, 0)
}

func (b *bucket) debt(now time.Time) time.Duration { return max(b.full.Sub(now), 0) }

func (b *bucket) take(n, limit int64, minute time.Duration, now time.Time) {
	b.full = now.Add(b.debt(now) + span(n, limit, minute))
}

func (b *bucket) level(limit int64, minute time.Duration, now time.Time) level {
	debt := b.debt(now)
	left := math.Floor(float64(limit) * float64(minute-debt) / float64(minute))
	return level{limit, max(int64(left), 0), debt}
}

// taken is what became of a request that asked for units.
type taken struct {
	refused bool
	by      unit
	wait    time.Duration
	levels  [2]level
}

// take takes the cost of both limits or of none; a limit of 0 is none.
func (r *rates) take(who rated, cost, limits [2]int64, minute time.Duration, now time.Time) taken {
	r.mu.Lock()
	defer r.mu.Unlock()
	held := r.all[who]
	if held == nil {
		held = new([2]bucket)
		if r.all == nil {
			r.all = map[rated]*[2]bucket{}
		}
		r.all[who] = held
	}
	var t taken
	for u := range held {
		if limits[u] <= 0 {
			continue
		}
		if wait := held[u].wait(cost[u], limits[u], minute, now); wait > t.wait {
			t.refused, t.by, t.wait = true, unit(u), wait
		}
	}
	for u := range held {
		if limits[u] <= 0 {
			continue
		}
		if !t.refused {
			held[u].take(cost[u], limits[u], minute, now)
		}
		t.levels[u] = held[u].level(limits[u], minute, now)
	}
	return t
}

func (r *rates) clear() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = nil
}

// admit takes the request from the limits of its account and says in the answer how they stand; false: it was refused.
// What does not name work, a GET, has no limit.
func (x *exchange) admit() bool {
	if x.r.Method != http.MethodPost || !x.plan.limited() {
		return true
	}
	who := rated{x.key, x.ask.model}
	if shared, ok := x.plan.Accounts[x.key]; ok {
		who.account = shared
	}
	cost, limits := [2]int64{1, x.estimate()}, [2]int64{x.plan.RPM, x.plan.TPM}
	t := x.s.rates.take(who, cost, limits, x.plan.minute(), x.s.now())
	if !x.plan.NoRateHeaders {
		t.tell(x.w.Header())
	}
	if t.refused {
		x.account.rateLimited.Add(1)
		x.refuseRate(t, cost[t.by])
	}
	return !t.refused
}

// estimate is how many tokens a request counts for before it is answered: what OpenAI documents.
func (x *exchange) estimate() int64 {
	most := max(x.ask.doc.Get("max_tokens").Int(), x.ask.doc.Get("max_completion_tokens").Int(),
		x.ask.doc.Get("max_output_tokens").Int())
	return max(most, int64(len(x.body)/4), 1)
}

// tell writes how the limits stand.
func (t *taken) tell(h http.Header) {
	for u, l := range t.levels {
		if l.limit == 0 {
			continue
		}
		h[unitHeads[u][0]] = []string{strconv.FormatInt(l.limit, 10)}
		h[unitHeads[u][1]] = []string{strconv.FormatInt(l.left, 10)}
		h[unitHeads[u][2]] = []string{roundUp(l.reset).String()}
	}
}

// roundUp makes whole milliseconds, as the real one writes them.
func roundUp(d time.Duration) time.Duration {
	return (d + time.Millisecond - 1).Truncate(time.Millisecond)
}

func (x *exchange) refuseRate(t taken, cost int64) {
	wait, l := roundUp(t.wait), t.levels[t.by]
	h := x.w.Header()
	h["Retry-After-Ms"] = []string{strconv.FormatInt(wait.Milliseconds(), 10)}
	h["Retry-After"] = []string{strconv.FormatInt(int64(math.Ceil(wait.Seconds())), 10)}
	message := fmt.Sprintf("Rate limit reached for {model} in organization org-mock on %s per min (%s): Limit %d, Used %d, "+
		"Requested %d. Please try again in %s.", unitNames[t.by], unitShorts[t.by], l.limit, l.limit-l.left, cost, wait)
	x.refuse(refusal{http.StatusTooManyRequests, unitNames[t.by], "rate_limit_exceeded", "", message})
}
