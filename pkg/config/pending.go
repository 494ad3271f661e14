package config

// What the design knows and nothing enforces yet. It is refused by name: ignoring a limit would be worse than not
// knowing it. Whoever enforces one of these takes it off its list, and reads it where its neighbours are read.
var (
	pendingKeyFields   = []string{"rpm", "tpm", "concurrency"}
	pendingQuotaFields = []string{"tokens", "usd"}
)

const notEnforced = "is not enforced yet, so it is refused rather than ignored"
