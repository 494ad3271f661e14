package cli

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// shares sends requests through all replicas and looks which replica served them, which key each was given, and how often
// Redis was asked.
func (c *checkup) shares(ctx context.Context) []finding {
	l := load{client: c.pool.load(), most: 2000, within: 12 * time.Second}
	if c.quick {
		l.most, l.within = 300, 4*time.Second
	}
	before := c.meters(ctx)
	all := c.call(ctx, l)
	after := c.meters(ctx)
	by, trouble := statuses(all)
	if by[http.StatusOK] < len(all) || len(all) == 0 {
		return []finding{{Name: "shares", Text: fmt.Sprintf("%d of %d requests were not served; the first %s", len(all)-by[200], len(all), trouble),
			Figures: figures{"requests": len(all), "served": by[200]}}}
	}
	return []finding{c.reached(ctx, all), c.fair(len(all)), c.roundTrips(before, after)}
}

// reached says whether every replica served some of the requests.
func (c *checkup) reached(ctx context.Context, all []answer) finding {
	ids := map[string]bool{}
	for _, a := range all {
		ids[a.id] = true
	}
	by, seen, err := c.served(ctx, c.pool.load(), ids)
	if err != nil {
		return finding{Name: "reached", Text: err.Error()}
	}
	f := finding{Name: "reached", OK: seen == len(ids), Figures: figures{"byReplica": by}}
	var texts []string
	for _, r := range c.replicas.Data {
		texts = append(texts, fmt.Sprintf("%s %d", r.ID, by[r.ID]))
		f.OK = f.OK && by[r.ID] > 0
	}
	f.Text = "requests by replica: " + strings.Join(texts, ", ")
	if seen < len(ids) {
		f.Text += fmt.Sprintf("; %d of %d are not remembered", len(ids)-seen, len(ids))
	} else if !f.OK {
		f.Text += "; does the load balancer send each address to one replica, or is a replica listed that has just ended?"
	}
	return f
}

// served counts requests by the replica that served them. What finished a moment ago may not be remembered yet.
func (c *checkup) served(ctx context.Context, client string, ids map[string]bool) (by map[string]int, seen int, err error) {
	for end := time.Now().Add(4 * time.Second); ; pause(ctx, 200*time.Millisecond) {
		by, seen = map[string]int{}, 0
		q := query("client", client, "limit", strconv.Itoa(mostOnPage))
		for {
			var one page[request]
			if _, err := c.s.api.get(ctx, "/api/requests", q, &one); err != nil {
				return nil, 0, err
			}
			for _, r := range one.Data {
				if ids[r.ID] {
					by[r.Replica]++
					seen++
				}
			}
			if one.Next == nil || seen == len(ids) {
				break
			}
			q.Set("after", *one.Next)
		}
		if seen == len(ids) || time.Now().After(end) || ctx.Err() != nil {
			return by, seen, ctx.Err()
		}
	}
}

// fair compares the shares of the keys with what the strategy promises.
func (c *checkup) fair(requests int) finding {
	strategy := "roundrobin"
	c.settings.setting("strategy", &strategy)
	weighs := strategy == "weighted" || strategy == "random"
	exact := strategy == "weighted" || strategy == "roundrobin"
	keys := c.pool.shared()
	var weights, total int64
	var hits []int64
	for _, k := range keys {
		n := int64(len(c.stage.of(k.secret)))
		hits = append(hits, n)
		weights += k.weight
		total += n
	}
	f := finding{Name: "shares", OK: total >= int64(requests)}
	worst := 0.0
	var got []string
	for i, k := range keys {
		share := 1 / float64(len(keys))
		if weighs {
			share = float64(k.weight) / float64(weights)
		}
		want := float64(total) * share
		// Positions are handed out in blocks, of which each replica holds two at most: each hole is off by less than two.
		slack := want*.01 + float64(4*len(c.replicas.Data)) + 1
		if !exact {
			slack = 5 * math.Sqrt(float64(total)*share*(1-share)) // once in a million and a half
		}
		off := math.Abs(float64(hits[i]) - want)
		worst = max(worst, off/want)
		f.OK = f.OK && off <= slack
		got = append(got, strconv.FormatInt(hits[i], 10))
	}
	promised := "equal shares"
	if weighs {
		promised = "weights 1 to 5"
	}
	f.Text = fmt.Sprintf("%d requests by %s, %s: %s; at most %s off", total, strategy, promised, strings.Join(got, " "), percent(worst))
	f.Figures = figures{"requests": total, "strategy": strategy, "byKey": hits, "worst": worst}
	return f
}

// limit checks that a client's rate lets through what it promises and no more, summed over all replicas.
func (c *checkup) limit(ctx context.Context) []finding {
	l := load{client: c.pool.limited(), within: 4 * time.Second, pace: 50 * time.Millisecond}
	if c.quick {
		l.within = 1500 * time.Millisecond
	}
	all := c.call(ctx, l)
	if len(all) == 0 {
		return nil
	}
	began := slices.MinFunc(all, func(a, b answer) int { return a.began.Compare(b.began) }).began
	ended := slices.MaxFunc(all, func(a, b answer) int { return a.ended.Compare(b.ended) }).ended
	by, trouble := statuses(slices.DeleteFunc(slices.Clone(all), func(a answer) bool { return a.status == http.StatusTooManyRequests }))
	span := ended.Sub(began)
	least, most := limitBurst, limitBurst+int(span.Seconds()*limitRPM/60)+1
	admitted := by[http.StatusOK]
	f := finding{Name: "limit", OK: admitted >= least && admitted <= most && len(by) == 1,
		Figures: figures{"admitted": admitted, "asked": len(all), "least": least, "most": most, "seconds": span.Seconds()}}
	f.Text = fmt.Sprintf("%d requests a minute, %d at once: %d of %d admitted in %.1f s, promised %d to %d", limitRPM, limitBurst, admitted,
		len(all), span.Seconds(), least, most)
	if trouble != "" {
		f.Text += "; one " + trouble
	}
	return []finding{f}
}
