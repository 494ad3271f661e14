package relay

import (
	"sync"
	"time"
)

const (
	budgetShare  = 0.2 // ambiguous retries for each request
	budgetRate   = 3.0 // of them a second are free
	budgetSaved  = 30.0
	budgetAtOnce = 10.0 // free ones that may come together
)

// budget bounds the ambiguous retries of everybody together to the larger of 3 a second and 20 % of the requests. It
// keeps the two allowances apart, since their sum would allow both.
type budget struct {
	now func() time.Time

	mu     sync.Mutex // guards all below
	earned float64    // by requests
	free   float64    // by time
	last   time.Time
}

func newBudget(now func() time.Time) *budget {
	return &budget{now: now, free: budgetAtOnce, last: now()}
}

// earn is called once for each request.
func (b *budget) earn() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.earned = min(b.earned+budgetShare, budgetSaved)
}

// take spends one retry, from both allowances at once: what is left is the larger of them.
func (b *budget) take() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	b.free = min(b.free+now.Sub(b.last).Seconds()*budgetRate, budgetAtOnce)
	b.last = now
	if b.earned < 1 && b.free < 1 {
		return false
	}
	b.earned = max(b.earned-1, 0)
	b.free = max(b.free-1, 0)
	return true
}
