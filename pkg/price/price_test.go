package price

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"openai-api-proxy/pkg/openai"
)

func exact(u openai.Usage) openai.Usage {
	u.Basis = openai.Exact
	return u
}

// Costs by hand: tokens times dollars for a million of them, in billionths of a dollar.
func TestCost(t *testing.T) {
	table := NewTable(nil)
	for name, c := range map[string]struct {
		model string
		u     openai.Usage
		want  int64
	}{
		"input and output":         {"gpt-4o", openai.Usage{Input: 1000, Output: 500}, 2_500_000 + 5_000_000},
		"cached is a part":         {"gpt-4o", openai.Usage{Input: 1000, Cached: 600, Output: 1}, 400*2500 + 600*1250 + 10_000},
		"reasoning is output":      {"o3", openai.Usage{Input: 10, Output: 100, Reasoning: 90}, 10*2000 + 100*8000},
		"a snapshot":               {"gpt-4o-2024-08-06", openai.Usage{Input: 3}, 7500},
		"a snapshot of its own":    {"gpt-4o-2024-05-13", openai.Usage{Input: 3}, 15_000},
		"not discounted":           {"gpt-4-turbo", openai.Usage{Input: 10, Cached: 10}, 100_000},
		"half of a nano-dollar":    {"babbage-002", openai.Usage{Input: 1, Output: 1}, 800},
		"cheapest":                 {"gpt-5-nano", openai.Usage{Input: 7, Cached: 7}, 35},
		"embeddings":               {"text-embedding-3-small", openai.Usage{Input: 8}, 160},
		"nothing":                  {"gpt-4o", openai.Usage{}, 0},
		"free":                     {"omni-moderation-latest", openai.Usage{Input: 1000}, 0},
		"written to the cache":     {"gpt-6-luna", openai.Usage{Input: 100, Cached: 40, Written: 50, Output: 2}, 10*100 + 40*10 + 50*125 + 2*500},
		"just short":               {"gpt-5.4", openai.Usage{Input: 272_000, Output: 1}, 272_000*2500 + 15_000},
		"just long":                {"gpt-5.4", openai.Usage{Input: 272_001, Output: 1}, 272_001*5000 + 22_500},
		"audio":                    {"gpt-audio", openai.Usage{Input: 100, AudioIn: 60, Output: 50, AudioOut: 20}, 40*2500 + 60*32_000 + 30*10_000 + 20*64_000},
		"pictures":                 {"gpt-image-1.5", openai.Usage{Input: 50, ImageIn: 40, Output: 1000, ImageOut: 900}, 10*5000 + 40*8000 + 100*10_000 + 900*32_000},
		"fine-tuned":               {"ft:gpt-4o-2024-08-06:my-org::abc", openai.Usage{Input: 100, Output: 10}, 100*3750 + 10*15_000},
		"fine-tuned, small":        {"ft:gpt-4o-mini-2024-07-18:o:n:1", openai.Usage{Input: 100, Output: 10}, 100*300 + 10*1200},
		"more parts than a whole":  {"gpt-4o", openai.Usage{Input: 10, Cached: 25, AudioIn: 4}, 4*2500 + 6*1250},
		"figures that cannot be":   {"gpt-4o", openai.Usage{Input: -5, Cached: -1, Output: -9}, 0},
		"as much as can be":        {"o1-pro", openai.Usage{Input: math.MaxInt64, Output: math.MaxInt64}, most},
		"as much as is believed":   {"gpt-5-nano", openai.Usage{Input: 1 << 53, Output: 0}, most},
		"a real one, with caching": {"gpt-5-mini", openai.Usage{Input: 12_345, Cached: 10_240, Output: 678}, 2105*250 + 10_240*25 + 678*2000},
	} {
		if got, known := table.Cost(c.model, exact(c.u)); !known || got != c.want {
			t.Errorf("%s: %d, %t, want %d", name, got, known, c.want)
		}
	}
}

// A cost is rounded up, and once: of three parts that are each a fraction of a nano-dollar one whole one comes.
func TestRoundedUpOnce(t *testing.T) {
	m := Model{Rates: Rates{Input: 1, Cached: 1, Written: 1, Output: 1}}
	for _, c := range []struct{ input, cached, output, want int64 }{{1, 0, 0, 1}, {1, 1, 1, 1}, {500_000, 100, 500_000, 1},
		{500_000, 100, 500_001, 2}, {0, 0, 0, 0}} {
		if got := m.Cost(openai.Usage{Input: c.input, Cached: c.cached, Output: c.output}); got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
	}
}

func TestUnknown(t *testing.T) {
	table := NewTable(nil)
	for _, model := range []string{"", "gpt-4o-", "gpt-4o-2024-8-6", "gpt-4o-realtime", "whisper-1", "tts-1", "dall-e-3", "my-model",
		"GPT-4o", "gpt-4o-2024-08-06x", "ft:gpt-4o:org", "-2024-08-06", "openai/gpt-4o"} {
		if nano, known := table.Cost(model, exact(openai.Usage{Input: 1})); known || nano != 0 {
			t.Errorf("%s costs %d", model, nano)
		}
		if nano, known := table.AtMost(model, openai.Usage{Input: 1}); known || nano != 0 {
			t.Errorf("%s costs at most %d", model, nano)
		}
	}
	if nano, known := table.Cost("gpt-4o", openai.Usage{}); known || nano != 0 {
		t.Errorf("who knows what was used? %d", nano)
	}
	if nano, known := table.Cost("omni-moderation-latest", openai.Usage{}); !known || nano != 0 {
		t.Errorf("what is free is free however much it was: %d, %t", nano, known)
	}
	if _, known := (*Table)(nil).Cost("gpt-4o", exact(openai.Usage{})); known {
		t.Error("no table knows a price")
	}
}

func TestConfiguredFirst(t *testing.T) {
	rate := func(n int64) Rates {
		return Rates{Input: n * million, Cached: n * million, Written: n * million, Output: n * million}
	}
	table := NewTable([]Model{{Pattern: "gpt-4o*", Rates: rate(1)}, {Pattern: "gpt-4o-mini*", Rates: rate(2)}, {Pattern: "*-own", Rates: rate(3)},
		{Pattern: "gpt-4o-mini", Rates: rate(4)}, {Pattern: "mine", Rates: rate(5)}, {Pattern: "mine-2026-01-02", Rates: rate(6)}})
	for model, want := range map[string]int64{"gpt-4o": 1, "gpt-4o-2024-05-13": 1, "gpt-4o-mini": 4, "gpt-4o-mini-2024-07-18": 4,
		"gpt-4o-mini-audio": 2, "our-own": 3, "gpt-4o-own": 1, "mine": 5, "mine-2025-01-01": 5, "mine-2026-01-02": 6, "o3": 2000} {
		if got, known := table.Cost(model, exact(openai.Usage{Input: 1})); !known || got != want {
			t.Errorf("%s: %d, %t, want %d", model, got, known, want)
		}
	}
}

// anyModel is a price that could be configured: what is cached may be the dearest.
func anyModel(t *rapid.T) Model {
	rate := rapid.OneOf(rapid.Int64Range(0, 3), rapid.Int64Range(0, mostRate))
	rates := func(least [8]int64) Rates {
		var r [8]int64
		for i := range r {
			r[i] = min(least[i]+rate.Draw(t, "rate"), mostRate)
		}
		return Rates{r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7]}
	}
	m := Model{Pattern: "any", Rates: rates([8]int64{}), Above: rapid.Int64Range(0, 600_000).Draw(t, "above")}
	if m.Above > 0 {
		m.Long = rates([...]int64{m.Input, m.Cached, m.Written, m.Output, m.AudioIn, m.AudioOut, m.ImageIn, m.ImageOut})
	}
	if err := m.Check(); err != nil {
		t.Fatalf("%+v: %v", m, err)
	}
	return m
}

// Whatever text uses no more tokens than the bound costs no more than AtMost says, for all that is listed and all that can
// be configured.
func TestAtMostIsABound(t *testing.T) {
	all := builtIn().all
	rapid.Check(t, func(t *rapid.T) {
		m := rapid.SampledFrom(all).Draw(t, "model")
		if rapid.Bool().Draw(t, "configured") {
			m = anyModel(t)
		}
		tokens := rapid.Int64Range(0, 600_000)
		bound := openai.Usage{Input: tokens.Draw(t, "input bound"), Output: tokens.Draw(t, "output bound")}
		part := func(of int64, name string) int64 { // often nothing or all of it: there the bound is nearest
			return rapid.OneOf(rapid.Just(int64(0)), rapid.Just(of), rapid.Int64Range(0, of)).Draw(t, name)
		}
		u := openai.Usage{Input: part(bound.Input, "input"), Output: part(bound.Output, "output"), Reasoning: tokens.Draw(t, "reasoning")}
		u.Cached, u.Written = part(u.Input, "cached"), part(u.Input, "written")
		if cost, most := m.Cost(u), m.AtMost(bound); cost > most || cost < 0 {
			t.Fatalf("%s: %+v costs %d, more than %d", m.Pattern, u, cost, most)
		}
	})
}
