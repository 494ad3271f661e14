package chaos

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"openai-api-proxy/pkg/state"
)

// held are the reservations and slots that Redis knows.
type held struct {
	live    int       // reservations that a replica renewed in the last 30 s
	orphans int       // reservations of replicas that are gone: charged as they were estimated, and remembered for an hour
	slots   int       // that are not free yet
	renewed time.Time // when any of the live ones, or a slot, was taken or renewed last
}

// readHeld reads them.
func readHeld(ctx context.Context, db redis.UniversalClient) (h held, err error) {
	now, err := db.Time(ctx).Result()
	if err != nil {
		return h, err
	}
	open, err := db.Keys(ctx, "oap:{c:*}:open").Result()
	if err != nil {
		return h, err
	}
	for _, key := range open {
		all, err := db.ZRangeWithScores(ctx, key, 0, -1).Result()
		if err != nil {
			return h, err
		}
		for _, one := range all {
			renewed := time.UnixMilli(int64(one.Score)).Add(-state.OpenLife)
			switch name, _ := one.Member.(string); {
			case strings.HasPrefix(name, "~"): // settled
			case now.Sub(renewed) < state.SlotLife:
				h.live++
				h.saw(renewed)
			default:
				h.orphans++
			}
		}
	}
	slots, err := db.Keys(ctx, "oap:{c:*}:slots").Result()
	if err != nil {
		return h, err
	}
	for _, key := range slots {
		all, err := db.ZRangeByScoreWithScores(ctx, key, &redis.ZRangeBy{Min: "(" + strconv.FormatInt(now.UnixMilli(), 10), Max: "+inf"}).Result()
		if err != nil {
			return h, err
		}
		h.slots += len(all)
		for _, one := range all {
			h.saw(time.UnixMilli(int64(one.Score)).Add(-state.SlotLife))
		}
	}
	return h, nil
}

func (h *held) saw(renewed time.Time) {
	if renewed.After(h.renewed) {
		h.renewed = renewed
	}
}

// mostHeld is how long after the last request something may be reserved.
const mostHeld = 60 * time.Second

// checkReserved waits until nothing is reserved any more, or, in a storm of seconds, until all that is was taken or renewed before
// its last kill, or from it by a Redis that was frozen: nobody renews that, so it is free half a minute later. Reservations of
// replicas that were killed are as many as requests ran on them, and one for each client that was lent a block.
func (v *verdict) checkReserved(s *storm, calls []*call, quiet time.Time) {
	var h held
	var err error
	f, short, last := s.fleet, *long < time.Minute, s.lastLoss()
	free := within(time.Until(quiet.Add(mostHeld)), func() bool {
		h, err = readHeld(context.Background(), v.db)
		return err == nil && (h.live == 0 && h.slots == 0 || short && h.renewed.Before(last))
	})
	v.figure("reserved", "%d reservations and %d slots %.0f s after the last request; %d of replicas that were killed stay charged",
		h.live, h.slots, time.Since(quiet).Seconds(), h.orphans)
	if h.renewed.After(quiet.Add(-state.SlotLife)) {
		v.print("          the last is free %.0f s after the last request", h.renewed.Add(state.SlotLife).Sub(quiet).Seconds())
	}
	v.check(free, "something is still reserved: %+v, %v", h, err)
	most := 0
	for _, r := range f {
		most += len(r.kills) * len(v.clients)
	}
	for _, c := range calls {
		if f[c.replica].killed(c.sent, c.ended.Add(v.pacer.edge(c.ended))) {
			most++
		}
	}
	v.check(h.live+h.orphans <= most, "%d reservations are left behind, %d requests ran when their replicas were killed",
		h.live+h.orphans, most)
	for i, r := range f {
		var text string
		err := r.api("/metrics", &text)
		v.check(err == nil && strings.Contains(text, "oap_admission_reserved_tokens 0\n") &&
			strings.Contains(text, "oap_admission_settles_pending 0\n"), "replica %d says that something is reserved (%v)", i, err)
		v.check(strings.Contains(text, "oap_admission_overshoot_total 0\n"), "replica %d saw more used than its bound", i)
	}
}

// redisUsed is what Redis counted of a quota.
func (v *verdict) redisUsed(client, limit string) int64 {
	text, err := v.db.HGet(context.Background(), "oap:{c:"+client+"}", limit).Result()
	_, used, _ := strings.Cut(text, ":")
	n, err2 := strconv.ParseInt(used, 10, 64)
	v.check(err == nil && err2 == nil, "%s of %s in Redis is %q (%v)", limit, client, text, err)
	return n
}
