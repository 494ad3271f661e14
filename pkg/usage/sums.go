package usage

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"openai-api-proxy/pkg/openai"
	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
)

// whose names what counts are for.
type whose struct {
	kind state.Kind
	id   string
}

// sums are counts by what they are for.
type sums map[whose]*state.Counts

// result says how a request or an attempt counts. Who was to blame is another question, which the breakers answer.
type result uint8

const (
	failed    result = iota // everything that is not one of the others, refusals and callers' mistakes too
	succeeded               // a whole answer that was not an error
	left                    // the caller went away before the end: neither
)

// statusCallerLeft is what a record says of a caller who left before an answer.
const statusCallerLeft = 499

func (r result) String() string {
	return [...]string{failed: "failed", succeeded: "succeeded", left: "left"}[r]
}

// ofRequest says how the whole request ended.
func ofRequest(rec *proxy.Record) result {
	switch {
	case rec.OK():
		return succeeded
	case rec.Gone || rec.Status == statusCallerLeft:
		return left
	default:
		return failed
	}
}

// ofAttempt says how one attempt of the request ended. No attempt follows one that was served, so if the answer ended
// early, it was that one's.
func ofAttempt(rec *proxy.Record, a proxy.Attempt) result {
	switch a.Outcome {
	case proxy.CallerGone:
		return left
	case proxy.Served:
		if rec.Cut || rec.Broken {
			return ofRequest(rec)
		}
		return succeeded
	default:
		return failed
	}
}

// add counts a finished request: once for all, for its client, for its model under the given name and for both together,
// and once for each attempt for that attempt's key. Duration, tokens and cost are the last key's; the others have the time that
// they took. What has no name is counted only in the total.
func (s sums) add(rec *proxy.Record, model string) {
	one := adding{sums: s}
	one.add(rec, model)
}

// adding adds one record after the other. Many have the client and the model of the one before: for what that counted is not
// looked up again.
type adding struct {
	sums
	client, model string
	found         [4]*state.Counts // for all, and of these as far as there is a name
}

func (a *adding) add(rec *proxy.Record, model string) {
	if a.found[0] == nil || rec.Client != a.client || model != a.model {
		a.find(rec.Client, model)
	}
	how := ofRequest(rec)
	for _, c := range a.found {
		if c != nil {
			whole(c, how, rec)
		}
	}
	for i, tried := range rec.Attempts {
		key := a.of(whose{state.OfKey, tried.Key})
		if i < len(rec.Attempts)-1 {
			count(key, ofAttempt(rec, tried))
			key.Took(tried.Took.Truncate(time.Microsecond))
		} else {
			whole(key, ofAttempt(rec, tried), rec)
		}
	}
}

func (a *adding) find(client, model string) {
	a.client, a.model = client, model
	a.found = [...]*state.Counts{a.of(whose{state.OfAll, ""}), nil, nil, nil}
	if client != "" {
		a.found[1] = a.of(whose{state.OfClient, client})
	}
	if model != "" {
		a.found[2] = a.of(whose{state.OfModel, model})
	}
	if client != "" && model != "" {
		a.found[3] = a.of(whose{state.OfPair, state.Pair(client, model)})
	}
}

// whole counts a request with its duration, tokens and cost.
func whole(c *state.Counts, how result, rec *proxy.Record) {
	count(c, how)
	c.Observe(rec.Total.Truncate(time.Microsecond)) // as a row of the journal has it
	c.Input += rec.Usage.Input
	c.Cached += rec.Usage.Cached
	c.Output += rec.Usage.Output
	c.Reasoning += rec.Usage.Reasoning
	c.Cost += rec.Cost
	if rec.Unpriced {
		c.Unpriced++
	}
}

func count(c *state.Counts, how result) {
	c.Requests++
	switch how {
	case succeeded:
		c.Successes++
	case failed:
		c.Failures++
	}
}

func (s sums) of(w whose) *state.Counts {
	c := s[w]
	if c == nil {
		c = new(state.Counts)
		s[w] = c
	}
	return c
}

func (s sums) merge(usage []state.Usage) {
	for i := range usage {
		u := &usage[i]
		w := whose{u.Kind, u.ID}
		if s[w] == nil {
			counts := u.Counts
			s[w] = &counts
			continue
		}
		s[w].Plus(u.Counts)
	}
}

// addTo adds those of which the store keeps totals to what it has. These sums are few, and what it has may be very much.
func (s sums) addTo(held []state.Usage) []state.Usage {
	left := maps.Clone(s)
	for i := 0; i < len(held) && len(left) > 0; i++ {
		w := whose{held[i].Kind, held[i].ID}
		if more := left[w]; more != nil {
			held[i].Plus(*more)
			delete(left, w)
		}
	}
	return append(held, left.totals()...)
}

// list copies the sums, sorted by kind and id. It is the names that are sorted: counts are large.
func (s sums) list() []state.Usage {
	names := make([]whose, 0, len(s))
	for w := range s {
		names = append(names, w)
	}
	slices.SortFunc(names, whose.compare)
	usage := make([]state.Usage, len(names))
	for i, w := range names {
		usage[i] = state.Usage{Kind: w.kind, ID: w.id, Counts: *s[w]}
	}
	return usage
}

func (w whose) compare(o whose) int {
	return cmp.Or(cmp.Compare(w.kind, o.kind), cmp.Compare(w.id, o.id))
}

// totals are those of which the store keeps totals.
func (s sums) totals() []state.Usage {
	return slices.DeleteFunc(s.list(), func(u state.Usage) bool { return u.Kind == state.OfPair })
}

// series are those of which the store keeps series: all, without latencies.
func (s sums) series() []state.Usage {
	usage := s.list()
	for i := range usage {
		usage[i].Latency = [state.LatencyBuckets]int64{}
	}
	return usage
}

// requests is the number of requests in the total.
func (s sums) requests() int64 {
	if c := s[whose{state.OfAll, ""}]; c != nil {
		return c.Requests
	}
	return 0
}

// Estimate is what an answer that did not say so probably used, from the bytes of the request body (negative: unknown)
// and the deltas of the answer: prompts have about three bytes to a token, and a delta carries one. The caller sets
// Basis.
func Estimate(bodyBytes, deltas int64) openai.Usage {
	return openai.Usage{Input: max(bodyBytes, 0) / 3, Output: deltas}
}
