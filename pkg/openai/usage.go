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

	// More parts of Input and Output, which have prices of their own. They are not remembered beyond the request.
	Written  int64 // input that was put into the upstream's cache; no part of Cached
	AudioIn  int64
	AudioOut int64
	ImageIn  int64
	ImageOut int64
}
