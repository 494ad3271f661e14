package price

import (
	"errors"

	"openai-api-proxy/pkg/proxy"
)

// Spec is rates as they are written: what is left out is charged as the text of its side is.
type Spec struct {
	Input, Cached, Written, Output       *int64
	AudioIn, AudioOut, ImageIn, ImageOut *int64
}

// Field is a rate by the name that it has in files.
type Field struct {
	Name string
	At   **int64
}

// Fields are all rates, in the order in which they are written.
func (s *Spec) Fields() [8]Field {
	return [...]Field{{"input", &s.Input}, {"cachedInput", &s.Cached}, {"cacheWrite", &s.Written}, {"output", &s.Output},
		{"audioInput", &s.AudioIn}, {"audioOutput", &s.AudioOut}, {"imageInput", &s.ImageIn}, {"imageOutput", &s.ImageOut}}
}

// ErrIncomplete means that a price lacks what every price has.
var ErrIncomplete = errors.New("needs input and output; write 0 for what is free")

// Rates fills in what was left out.
func (s Spec) Rates() (Rates, error) {
	if s.Input == nil || s.Output == nil {
		return Rates{}, ErrIncomplete
	}
	or := func(given *int64, usual int64) int64 {
		if given == nil {
			return usual
		}
		return *given
	}
	in, out := *s.Input, *s.Output
	return Rates{Input: in, Output: out, Cached: or(s.Cached, in), Written: or(s.Written, in), AudioIn: or(s.AudioIn, in),
		ImageIn: or(s.ImageIn, in), AudioOut: or(s.AudioOut, out), ImageOut: or(s.ImageOut, out)}, nil
}

// Check refuses a step that makes long requests cheaper: then a request could cost more than a longer one, and no bound on
// its tokens would be one on its cost.
func (m Model) Check() error {
	short, long := m.Rates.all(), m.Long.all()
	for i := range short {
		if m.Above > 0 && long[i] < short[i] {
			return errors.New("is cheaper for long requests; no upper bound of a cost could be given")
		}
	}
	return nil
}

func (r Rates) all() [8]int64 {
	return [...]int64{r.Input, r.Cached, r.Written, r.Output, r.AudioIn, r.AudioOut, r.ImageIn, r.ImageOut}
}

// mostRate bounds a rate: a million dollars for a million tokens.
const mostRate = 1_000_000_000_000_000

// Parse reads the price of a million tokens, in plain decimal dollars, exactly.
func Parse(text string) (int64, error) {
	n, err := proxy.NanoDollars(text)
	switch {
	case errors.Is(err, proxy.ErrTooFine):
		return 0, errors.New("has more than 9 decimals")
	case err != nil:
		return 0, errors.New(`must be plain decimal dollars for a million tokens, such as "2.50"`)
	case n > mostRate:
		return 0, errors.New("must be at most 1000000 dollars for a million tokens")
	}
	return n, nil
}
