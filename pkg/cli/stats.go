package cli

import (
	"context"
	"flag"
	"strconv"
	"time"
)

func stats() *command {
	var top int
	return &command{name: "stats", about: "what was used since counting began, by key, client and model",
		flags: func(f *flag.FlagSet) { f.IntVar(&top, "top", 20, "of each kind the `n` with the most requests") },
		run: func(ctx context.Context, s *session) error {
			var a statsAnswer
			if done, err := s.answered(s.api.get(ctx, "/api/stats", query("top", strconv.Itoa(top)), &a)); done {
				return err
			}
			t := &table{head: []string{"KIND", "ID", "STATE", "REQUESTS", "FAILURES", "SUCCEEDED", "P50 MS", "P95 MS", "P99 MS",
				"INPUT", "CACHED", "OUTPUT", "REASONING", "COST USD", "UNPRICED", "QUOTA LEFT"}}
			t.stats("all", a.Totals)
			t.stats("key", a.Keys...)
			t.stats("client", a.Clients...)
			t.stats("model", a.Models...)
			s.print(t)
			s.say("since %s UTC", cell(a.Since))
			return nil
		}}
}

func (t *table) stats(kind string, lines ...statsLine) {
	for _, l := range lines {
		left := ""
		if l.Quota != nil {
			left = cell(l.Quota.Left) + "/" + cell(l.Quota.Limit)
		}
		t.add(kind, l.ID, l.State, l.Requests, l.Failures, percent(l.SuccessRate), millis(l.LatencyMs.P50), millis(l.LatencyMs.P95),
			millis(l.LatencyMs.P99), l.Tokens.Input, l.Tokens.Cached, l.Tokens.Output, l.Tokens.Reasoning, l.CostUSD, l.Unpriced, left)
	}
}

func usage() *command {
	var step, by, id, from, to, top string
	return &command{name: "usage", about: "what was used, by minute, hour or day",
		more: "Times are like 2030-01-01T00:00:00Z, or a span back from now such as 24h. Without them it is the last 60 steps.",
		flags: func(f *flag.FlagSet) {
			f.StringVar(&step, "step", "hour", "`minute`, hour or day")
			f.StringVar(&by, "by", "total", "`total`, key, client, model or client-model")
			f.StringVar(&id, "id", "", "only the key, client or model with this `id`")
			f.StringVar(&from, "from", "", "the first `moment`")
			f.StringVar(&to, "to", "", "the `moment` behind the last")
			f.StringVar(&top, "top", "", "the `n` with the most requests by name, the rest as other")
		},
		run: func(ctx context.Context, s *session) error {
			q := query("step", step, "by", by, "id", id, "from", moment(from), "to", moment(to), "top", top)
			var a usageAnswer
			if done, err := s.answered(s.api.get(ctx, "/api/usage", q, &a)); done {
				return err
			}
			t := &table{head: []string{"AT", "ID", "REQUESTS", "FAILURES", "MEAN MS", "INPUT", "CACHED", "OUTPUT", "REASONING",
				"COST USD", "UNPRICED"}}
			for _, one := range a.Series {
				for _, p := range one.Points {
					t.add(p.At, one.ID, p.Requests, p.Failures, millis(p.LatencyMs), p.Tokens.Input, p.Tokens.Cached, p.Tokens.Output,
						p.Tokens.Reasoning, p.CostUSD, p.Unpriced)
				}
			}
			s.print(t)
			return nil
		}}
}

// moment is a time as the API takes it. A span counts back from now; what is neither goes as it is, to be refused there.
func moment(given string) string {
	if back, err := time.ParseDuration(given); err == nil && given != "" {
		return time.Now().Add(-back.Abs()).UTC().Format(time.RFC3339)
	}
	return given
}
