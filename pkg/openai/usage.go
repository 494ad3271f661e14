package openai

// Basis says how well a usage is known.
type Basis string

// The bases, best first.
const (
	NoUsage   Basis = ""          // nothing was used, or the operation does not tell
	Exact     Basis = "exact"     // said by the upstream
	Estimated Basis = "estimated" // the answer was whole but did not say
	Partial   Basis = "partial"   // the answer ended early: estimated from what was delivered
)

// Usage is what one answer cost in tokens. Cached is a part of Input, Reasoning a part of Output.
type Usage struct {
	Input     int64
	Cached    int64
	Output    int64
	Reasoning int64
	Basis     Basis
}
