package relay

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	budgetShare  = 0.2 // ambiguous retries for each request
	budgetRate   = 3.0 // of them a second are free
	budgetSaved  = 30.0
	budgetAtOnce = 10.0 // free ones that may come together

	budgetEach = int64(1 / budgetShare)           // requests that earn one
	budgetFull = int64(budgetSaved / budgetShare) // requests that earn all that may be saved
)

// budget bounds the ambiguous retries of everybody together to the larger of 3 a second and 20 % of the requests. It
// keeps the two allowances apart, since their sum would allow both.
type budget struct {
	now    func() time.Time
	earned atomic.Int64 // by requests: how many of them are not spent

	mu   sync.Mutex // guards both
	free float64    // by time
	last time.Time
}

func newBudget(now func() time.Time) *budget {
	return &budget{now: now, free: budgetAtOnce, last: now()}
}

// earn is called once for each request. While enough is saved, as it nearly always is, it writes nothing.
func (b *budget) earn() {
	for {
		earned := b.earned.Load()
		if earned >= budgetFull || b.earned.CompareAndSwap(earned, earned+1) {
			return
		}
	}
}

// spendEarnedLocked takes what one retry costs, or what there is of that.
func (b *budget) spendEarnedLocked() {
	for {
		earned := b.earned.Load()
		if b.earned.CompareAndSwap(earned, max(earned-budgetEach, 0)) {
			return
		}
	}
}

// take spends one retry, from both allowances at once: what is left is the larger of them.
func (b *budget) take() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	b.free = min(b.free+now.Sub(b.last).Seconds()*budgetRate, budgetAtOnce)
	b.last = now
	if b.free < 1 && b.earned.Load() < budgetEach { // only more is earned meanwhile: it is spent under the lock
		return false
	}
	b.spendEarnedLocked()
	b.free = max(b.free-1, 0)
	return true
}
