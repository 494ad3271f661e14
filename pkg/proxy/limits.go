package proxy

import "slices"

// Limits are what may be used of a key, or of an account by all its keys together, over all replicas. Each is a bound that
// the operator wants kept, whatever the upstream would allow.
type Limits struct {
	RPM         int64    // requests per minute, and at once; 0: no limit
	TPM         int64    // tokens per minute, and at once; 0: no limit
	Concurrency int64    // requests at the same time; 0: no limit
	Quota       []Budget // by the calendar of UTC; at most one for each measure and period
}

// Any reports whether anything is limited.
func (l *Limits) Any() bool { return l.RPM > 0 || l.TPM > 0 || l.Concurrency > 0 || len(l.Quota) > 0 }

// Metered reports whether tokens or money are limited, so that the size of a request matters.
func (l *Limits) Metered() bool { return l.TPM > 0 || l.Counts(Tokens) || l.Counts(Dollars) }

// Counts reports whether there is a quota of the measure.
func (l *Limits) Counts(m Measure) bool {
	return slices.ContainsFunc(l.Quota, func(b Budget) bool { return b.Measure == m })
}

// Equal reports whether the same is limited alike.
func (l *Limits) Equal(other *Limits) bool {
	return l.RPM == other.RPM && l.TPM == other.TPM && l.Concurrency == other.Concurrency && slices.Equal(l.Quota, other.Quota)
}

// Account is what is configured of an account; its keys name it.
type Account struct {
	ID string
	Limits
}
