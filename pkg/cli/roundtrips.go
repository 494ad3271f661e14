package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

// meter is what one replica counted of its own since it started.
type meter struct{ requests, hot, slow float64 }

// meters reads the metrics of every replica that can be reached, by its id. A load balancer decides who answers, so they
// are asked until all did, or often enough.
func (c *checkup) meters(ctx context.Context) map[string]meter {
	all, fresh := map[string]meter{}, c.s.api.fresh()
	for range 10 * len(c.replicas.Data) {
		text, err := fresh.get(ctx, "/metrics", nil, nil)
		if err != nil {
			break
		}
		if id, m := readMeter(string(text)); id != "" {
			all[id] = m
		}
		if len(all) >= len(c.replicas.Data) {
			break
		}
	}
	return all
}

func readMeter(text string) (id string, m meter) {
	for line := range strings.Lines(text) {
		name, rest, found := strings.Cut(strings.TrimSpace(line), "{")
		labels, value, closed := strings.Cut(rest, "} ")
		if !found || !closed {
			continue
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			continue
		}
		switch {
		case name == "oap_replica_info":
			_, id, _ = strings.Cut(labels, `id="`)
			id, _, _ = strings.Cut(id, `"`)
		case name == "oap_requests_total":
			m.requests += n
		case name == "oap_state_round_trips_total" && labels == `client="hot"`:
			m.hot = n
		case name == "oap_state_round_trips_total" && labels == `client="slow"`:
			m.slow = n
		}
	}
	return id, m
}

// roundTrips says how often Redis was asked for a request, by those who wait for it and by those who do not. Requests of others
// that were served meanwhile are part of it.
func (c *checkup) roundTrips(before, after map[string]meter) finding {
	f := finding{Name: "round trips"}
	var sum meter
	seen := 0
	for id, m := range after {
		was, known := before[id]
		if !known || m.requests < was.requests {
			continue
		}
		seen++
		sum = meter{sum.requests + m.requests - was.requests, sum.hot + m.hot - was.hot, sum.slow + m.slow - was.slow}
	}
	total := meter{}
	for _, m := range after {
		total.hot, total.slow = total.hot+m.hot, total.slow+m.slow
	}
	switch {
	case seen == 0 || seen < len(c.replicas.Data):
		f.Skipped, f.Text = true, fmt.Sprintf("not known: the metrics of %d of %d replicas were reached", seen, len(c.replicas.Data))
	case total.hot+total.slow == 0:
		f.OK, f.Text = true, "embedded: none"
	case sum.requests == 0:
		f.Skipped, f.Text = true, "not known: no request was counted"
	default:
		hot, slow := sum.hot/sum.requests, sum.slow/sum.requests
		f.OK, f.Figures = true, figures{"waitedFor": hot, "beside": slow, "requests": sum.requests}
		f.Text = fmt.Sprintf("to Redis for a request of a client without limits: %.3f that it waits for, %.3f beside it", hot, slow)
	}
	return f
}
