package usage

import (
	"fmt"
	"testing"
	"time"

	"openai-api-proxy/pkg/openai"
	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
)

// brief writes counts as requests/successes/failures, then latencies and output tokens when there are any.
func brief(c state.Counts) string {
	s := fmt.Sprintf("%d/%d/%d", c.Requests, c.Successes, c.Failures)
	var latencies int64
	for _, n := range c.Latency {
		latencies += n
	}
	if latencies > 0 {
		s += fmt.Sprintf(" %d×%s", latencies, c.Percentile(1))
	}
	if c.Output > 0 {
		s += fmt.Sprintf(" %d tokens", c.Output)
	}
	return s
}

func TestRecord(t *testing.T) {
	tried := func(key string, o proxy.Outcome) proxy.Attempt { return proxy.Attempt{Key: key, Outcome: o} }
	tests := map[string]struct {
		rec  proxy.Record
		want map[string]string // kind and id to brief; whole is that of total, client and model
	}{
		"served": {
			proxy.Record{Status: 200, Attempts: []proxy.Attempt{tried("k1", proxy.Served)}, Usage: openai.Usage{Output: 7}},
			map[string]string{"whole": "1/1/0 1×1ms 7 tokens", "key k1": "1/1/0 1×1ms 7 tokens"}},
		"failed over": {
			proxy.Record{Status: 200, Usage: openai.Usage{Output: 7},
				Attempts: []proxy.Attempt{tried("k1", proxy.Throttled), tried("k2", proxy.Served)}},
			map[string]string{"whole": "1/1/0 1×1ms 7 tokens", "key k1": "1/0/1", "key k2": "1/1/0 1×1ms 7 tokens"}},
		"one key twice": {
			proxy.Record{Status: 200, Attempts: []proxy.Attempt{tried("k1", proxy.KeyFailed), tried("k1", proxy.Served)}},
			map[string]string{"whole": "1/1/0 1×1ms", "key k1": "2/1/1 1×1ms"}},
		"refused before any key": {
			proxy.Record{Status: 429},
			map[string]string{"whole": "1/0/1 1×1ms"}},
		"caller's mistake": {
			proxy.Record{Status: 400, Attempts: []proxy.Attempt{tried("k1", proxy.CallerFault)}},
			map[string]string{"whole": "1/0/1 1×1ms", "key k1": "1/0/1 1×1ms"}},
		"cut by the upstream": {
			proxy.Record{Status: 200, Cut: true, Broken: true, Attempts: []proxy.Attempt{tried("k1", proxy.StreamCut)}},
			map[string]string{"whole": "1/0/1 1×1ms", "key k1": "1/0/1 1×1ms"}},
		"ended by the upstream with an error": {
			proxy.Record{Status: 200, Broken: true, Attempts: []proxy.Attempt{tried("k1", proxy.Served)}},
			map[string]string{"whole": "1/0/1 1×1ms", "key k1": "1/0/1 1×1ms"}},
		"cut by us": {
			proxy.Record{Status: 200, Cut: true, Attempts: []proxy.Attempt{tried("k1", proxy.Served)}},
			map[string]string{"whole": "1/0/1 1×1ms", "key k1": "1/0/1 1×1ms"}},
		"caller left within the answer": {
			proxy.Record{Status: 200, Cut: true, Gone: true, Attempts: []proxy.Attempt{tried("k1", proxy.Served)},
				Usage: openai.Usage{Output: 3}},
			map[string]string{"whole": "1/0/0 1×1ms 3 tokens", "key k1": "1/0/0 1×1ms 3 tokens"}},
		"caller left before it": {
			proxy.Record{Status: 499, Gone: true,
				Attempts: []proxy.Attempt{tried("k1", proxy.KeyFailed), tried("k2", proxy.CallerGone)}},
			map[string]string{"whole": "1/0/0 1×1ms", "key k1": "1/0/1", "key k2": "1/0/0 1×1ms"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			tt.rec.Client, tt.rec.Model, tt.rec.Total = "team-a", "gpt-4o", time.Millisecond
			want := map[string]string{}
			for id, counts := range tt.want {
				if id != "whole" {
					want[id] = counts
					continue
				}
				want["total "], want["client team-a"], want["model gpt-4o"] = counts, counts, counts
			}
			got := sums{}
			got.add(&tt.rec, tt.rec.Model)
			for _, u := range got.totals() {
				id := string(u.Kind) + " " + u.ID
				if brief(u.Counts) != want[id] {
					t.Errorf("%s: %s, want %q", id, brief(u.Counts), want[id])
				}
				delete(want, id)
			}
			for id := range want {
				t.Errorf("%s was not counted", id)
			}
		})
	}
}

func TestRecordWithoutNames(t *testing.T) {
	got := sums{}
	got.add(&proxy.Record{Status: 200}, "")
	if len(got) != 1 || got.requests() != 1 {
		t.Errorf("counted for %v, want the total only", got)
	}
}

func TestAllTokens(t *testing.T) {
	got := sums{}
	got.add(&proxy.Record{Status: 200, Usage: openai.Usage{Input: 1, Cached: 2, Output: 3, Reasoning: 4}}, "")
	if c := got[whose{state.OfAll, ""}]; c.Input != 1 || c.Cached != 2 || c.Output != 3 || c.Reasoning != 4 {
		t.Errorf("counted %+v", c)
	}
}

func TestEstimate(t *testing.T) {
	tests := map[string]struct {
		body, deltas int64
		want         openai.Usage
	}{
		"both":           {300, 7, openai.Usage{Input: 100, Output: 7}},
		"unknown length": {-1, 7, openai.Usage{Output: 7}},
		"nothing":        {0, 0, openai.Usage{}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := Estimate(tt.body, tt.deltas); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}
