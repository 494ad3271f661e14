// Package price knows what models cost: a dated list of published prices that is part of the program (prices.json), and
// before it whatever the configuration says. What is in neither has no price, and that is not the same as none.
//
// Nothing here is a binary fraction. A rate is whole nano-dollars for a million tokens, the cost of a request whole
// nano-dollars, rounded up once, at the end: what is counted is never below the price, and above it by less than a
// billionth of a dollar. Prices are those of standard processing. The upstream's other tiers, its fees for tools, for
// storage and for what is sold by the second, by the picture or by the character are not in what a request says it used,
// and so not in its cost.
package price

import (
	"math/bits"

	"openai-api-proxy/pkg/openai"
)

// Rates are nano-dollars for a million tokens of each kind.
type Rates struct {
	Input    int64
	Cached   int64 // input that the upstream had cached
	Written  int64 // input that it put into its cache
	Output   int64 // reasoning too
	AudioIn  int64
	AudioOut int64
	ImageIn  int64
	ImageOut int64
}

// Model is the price of the models that a pattern names.
type Model struct {
	// Pattern is a name in which * stands for any run of characters. Without one it is also the name of its snapshots that
	// carry a date: gpt-4o is gpt-4o-2024-08-06 too.
	Pattern string
	Rates
	// Above is the input from which on, exclusively, all of a request is charged by Long; 0: it never is.
	Above int64
	Long  Rates
}

// most is what a cost is at most, so that all stores count it exactly.
const most = 1<<53 - 1

// million tokens are what a rate is for.
const million = 1_000_000

// Cost is what the usage costs, in nano-dollars.
func (m *Model) Cost(u openai.Usage) int64 {
	r := m.ratesFor(u.Input)
	input, output := max(u.Input, 0), max(u.Output, 0)
	var s sum
	// Each part is taken out of what is left of the whole, so that an upstream whose parts exceed it is charged no more
	// tokens than it said. What was cached is taken for text, which is the dearer reading.
	for _, part := range [...]struct{ tokens, rate int64 }{{u.AudioIn, r.AudioIn}, {u.ImageIn, r.ImageIn},
		{u.Cached, r.Cached}, {u.Written, r.Written}} {
		n := min(max(part.tokens, 0), input)
		input -= n
		s.add(n, part.rate)
	}
	for _, part := range [...]struct{ tokens, rate int64 }{{u.AudioOut, r.AudioOut}, {u.ImageOut, r.ImageOut}} {
		n := min(max(part.tokens, 0), output)
		output -= n
		s.add(n, part.rate)
	}
	s.add(input, r.Input)
	s.add(output, r.Output)
	return s.cost()
}

// AtMost is what so much input and output cost at the dearest rates that text may be charged by: as if nothing of it were
// cached before and all of it afterwards. Whatever text uses no more tokens costs no more.
func (m *Model) AtMost(u openai.Usage) int64 {
	r := m.ratesFor(u.Input)
	var s sum
	s.add(max(u.Input, 0), max(r.Input, r.Cached, r.Written))
	s.add(max(u.Output, 0), r.Output)
	return s.cost()
}

// ratesFor are the rates of a request with so much input. Those of long ones are never lower; see Check.
func (m *Model) ratesFor(input int64) Rates {
	if m.Above > 0 && input > m.Above {
		return m.Long
	}
	return m.Rates
}

// free reports whether nothing of the model costs anything.
func (m *Model) free() bool { return m.Rates == Rates{} && m.Long == Rates{} }

// sum adds tokens times rates in 128 bits: no usage that an upstream may say overflows it.
type sum struct{ high, low uint64 }

func (s *sum) add(tokens, rate int64) {
	high, low := bits.Mul64(uint64(tokens), uint64(rate))
	var carry uint64
	s.low, carry = bits.Add64(s.low, low, 0)
	s.high, _ = bits.Add64(s.high, high, carry)
}

// cost is the sum in nano-dollars, rounded up.
func (s *sum) cost() int64 {
	if s.high >= million { // the quotient would not fit
		return most
	}
	cost, rest := bits.Div64(s.high, s.low, million)
	if rest > 0 {
		cost++
	}
	return int64(min(cost, most))
}
