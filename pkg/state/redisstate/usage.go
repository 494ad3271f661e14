package redisstate

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"openai-api-proxy/pkg/state"
)

// Totals reads the whole hash.
func (s *Store) Totals(ctx context.Context) (state.Totals, error) {
	ctx, cancel := within(ctx, s.budgets.slow)
	defer cancel()
	all, err := s.slow.HGetAll(ctx, s.keys.usage()).Result()
	if err != nil {
		return state.Totals{}, unavailable(err)
	}
	t := state.Totals{Since: time.Now()}
	if since, err := strconv.ParseInt(all["since"], 10, 64); err == nil {
		t.Since = time.Unix(since, 0)
	}
	delete(all, "since")
	byName := map[string]*state.Usage{}
	for field, amount := range all {
		kind, id, name, ok := split(field)
		n, err := strconv.ParseInt(amount, 10, 64)
		if !ok || err != nil {
			continue
		}
		u := byName[kind+"/"+id]
		if u == nil {
			u = &state.Usage{Kind: state.Kind(kind), ID: id}
			byName[kind+"/"+id] = u
		}
		if at := amountOf(&u.Counts, name); at != nil {
			*at = n
		}
	}
	for _, u := range byName {
		t.Usage = append(t.Usage, *u)
	}
	return t, nil
}

// split reads "kind/id/field"; an id may hold slashes.
func split(field string) (kind, id, name string, ok bool) {
	first, last := strings.IndexByte(field, '/'), strings.LastIndexByte(field, '/')
	if first < 0 || first == last {
		return "", "", "", false
	}
	return field[:first], field[first+1 : last], field[last+1:], true
}

// amountOf is the amount or latency of that name; nil when there is none.
func amountOf(c *state.Counts, name string) *int64 {
	for _, a := range c.Amounts() {
		if a.Name == name {
			return a.At
		}
	}
	if i := slices.Index(latencyNames[:], name); i >= 0 {
		return &c.Latency[i]
	}
	return nil
}

// latencyNames are those of the latency buckets in the hash of the totals.
var latencyNames = func() (names [state.LatencyBuckets]string) {
	for i := range names {
		names[i] = "l" + strconv.Itoa(i)
	}
	return names
}()
