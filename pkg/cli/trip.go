package cli

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"openai-api-proxy/pkg/mockopenai"
)

const (
	// quietMost is how long nobody may use a key that tripped before it counts as left alone, if its rest is longer.
	quietMost = 1500 * time.Millisecond
	// tripPace keeps 16 callers at some 160 requests a second.
	tripPace = 100 * time.Millisecond
	// probedUpTo is the longest first rest whose end is waited for.
	probedUpTo = 5 * time.Second
)

// trip makes one key fail, and looks how long others still use it and what comes after its rest.
func (c *checkup) trip(ctx context.Context) []finding {
	threshold, openTimeout := 5, int64(30_000)
	c.settings.setting("failover.failureThreshold", &threshold)
	c.settings.setting("failover.openTimeout", &openTimeout)
	rest := time.Duration(openTimeout) * time.Millisecond
	quiet := min(quietMost, rest/2)
	bad := c.pool.failing()[0]
	c.stage.mock.Fault(mockopenai.Fault{Key: bad.secret, Kind: "500", Path: chatPath})
	within := 10 * time.Second
	if c.quick {
		within = 5 * time.Second
	}
	all := c.call(ctx, load{client: c.pool.trips(), within: within, pace: tripPace, until: func() bool {
		hits := c.stage.of(bad.secret)
		return len(hits) >= threshold && time.Since(hits[len(hits)-1].ended) > quiet
	}})
	if ctx.Err() != nil {
		return nil
	}
	f := c.tripped(ctx, bad, threshold, quiet, all)
	if !f.OK {
		return []finding{f}
	}
	if rest > probedUpTo || c.quick && rest > 2*time.Second {
		return []finding{f, c.reset(ctx, bad, rest)}
	}
	return []finding{f, c.probe(ctx, bad, rest)}
}

// tripped says when the key was left alone, and whether every replica saw to that.
func (c *checkup) tripped(ctx context.Context, bad madeKey, threshold int, quiet time.Duration, all []answer) finding {
	open := c.states(ctx, bad.id)
	hits := c.stage.of(bad.secret)
	by, trouble := statuses(all)
	failed := len(all) - by[http.StatusOK]
	f := finding{Name: "trip", Figures: figures{"failures": len(hits), "threshold": threshold, "requests": len(all), "callersFailed": failed}}
	if len(hits) < threshold || time.Since(hits[len(hits)-1].ended) < quiet {
		f.Text = fmt.Sprintf("a key that fails was used %d times in %d requests and is still used; %d failures trip it", len(hits), len(all), threshold)
		return f
	}
	last, trip := hits[len(hits)-1], hits[threshold-1]
	lag := max(last.began.Sub(trip.ended), 0)
	since := map[string]bool{}
	for _, a := range all {
		if a.began.After(last.ended) {
			since[a.id] = true
		}
	}
	served, _, err := c.served(ctx, c.pool.trips(), since)
	if err != nil {
		f.Text = err.Error()
		return f
	}
	alone := 0
	for _, r := range c.replicas.Data {
		if served[r.ID] > 0 {
			alone++
		}
	}
	f.Figures["lastUseMs"], f.Figures["requestsSince"], f.Figures["replicasThatLeaveIt"] = lag.Milliseconds(), len(since), alone
	f.OK = alone == len(c.replicas.Data) && len(open) == 1 && open["open"] && lag < time.Second && failed == 0
	f.Text = fmt.Sprintf("tripped by %s and %s; since then %s through %d of %d replicas left it alone; callers saw %s",
		count(len(hits), "failure"), lastUsed(lag), count(len(since), "request"), alone, len(c.replicas.Data), count(failed, "failure"))
	if failed > 0 {
		f.Text += "; the first " + trouble
	}
	if !open["open"] || len(open) != 1 {
		f.Text += fmt.Sprintf("; the replicas call it %v", open)
	}
	return f
}

func lastUsed(lag time.Duration) string {
	if lag == 0 {
		return "never used after that"
	}
	return fmt.Sprintf("last used %.1f ms after that", float64(lag.Microseconds())/1000)
}

// states are what the replicas say of a key.
func (c *checkup) states(ctx context.Context, id string) map[string]bool {
	all, fresh := map[string]bool{}, c.s.api.fresh()
	for range 4 * len(c.replicas.Data) {
		var k key
		if _, err := fresh.get(ctx, item("keys", id), nil, &k); err != nil {
			all[oneLine(err.Error())] = true
			break
		}
		all[k.State] = true
	}
	return all
}

// reset ends a rest that is too long to wait for, and sees that the key is used again.
func (c *checkup) reset(ctx context.Context, bad madeKey, rest time.Duration) finding {
	c.stage.mock.Fault(mockopenai.Fault{Key: bad.secret, Kind: "none"})
	if _, err := c.s.api.call(ctx, "POST", item("keys", bad.id, "reset"), nil, nil, nil); err != nil {
		return finding{Name: "reset", Text: err.Error()}
	}
	before := len(c.stage.of(bad.secret))
	c.call(ctx, load{client: c.pool.trips(), within: 5 * time.Second, pace: tripPace / 4, until: func() bool {
		return len(c.stage.of(bad.secret)) > before
	}})
	f := finding{Name: "reset", OK: len(c.stage.of(bad.secret)) > before}
	f.Text = fmt.Sprintf("its rest of %s is too long to wait for; reset by hand, it is used again", rest)
	if !f.OK {
		f.Text = "reset by hand, it is not used again"
	}
	return f
}

// probe waits for the end of the rest, when one request of the whole fleet may prove the key. It still fails, so that it
// rests again.
func (c *checkup) probe(ctx context.Context, bad madeKey, rest time.Duration) finding {
	before := c.stage.of(bad.secret)
	due := before[len(before)-1].ended.Add(rest)
	pause(ctx, time.Until(due))
	c.call(ctx, load{client: c.pool.trips(), within: 5 * time.Second, until: func() bool { return len(c.stage.of(bad.secret)) > len(before) }})
	c.call(ctx, load{client: c.pool.trips(), within: min(rest, time.Second)}) // the rest doubles, so that it is not over yet
	probes := len(c.stage.of(bad.secret)) - len(before)
	f := finding{Name: "probe", OK: probes == 1, Figures: figures{"probes": probes, "restMs": rest.Milliseconds()}}
	f.Text = fmt.Sprintf("after its rest of %s %s reached the upstream while 16 callers asked", rest, count(probes, "request"))
	return f
}
