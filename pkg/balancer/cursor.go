package balancer

import (
	"context"
	"sync"
	"time"
)

// mostLeased bounds a block of positions.
const mostLeased = 1000

// leasedAbove is the number of picks a second from which positions are taken in blocks.
const leasedAbove = 50

// cursor gives positions of the shared cursor. Where one costs a round trip they are taken in blocks of about a second of
// traffic, the next block before the present one is used up, so that hardly anybody waits. Each replica may hold one block
// that others pass over: that is the bound on how far the shares of a fleet are off.
type cursor struct {
	mu       sync.Mutex // guards all below; not held while the state is asked
	next     int64      // position to give
	end      int64      // first one that is not ours
	spare    block      // the next block, when there is one
	fetching bool
	second   int64 // of the count
	picks    int64 // in this second
	before   int64 // in the second before
}

type block struct{ first, end int64 }

// take gives a position if there is one, and says how many to fetch if it is time to.
func (c *cursor) take(now time.Time) (position int64, ok bool, fetch int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := now.Unix(); s != c.second {
		c.before = 0
		if s == c.second+1 {
			c.before = c.picks
		}
		c.second, c.picks = s, 0
	}
	c.picks++
	if c.next == c.end && c.spare.end > c.spare.first {
		c.next, c.end, c.spare = c.spare.first, c.spare.end, block{}
	}
	size := c.sizeLocked()
	if c.end-c.next <= size/2 && c.spare.end == 0 && !c.fetching {
		c.fetching, fetch = true, size
	}
	if c.next < c.end {
		c.next++
		return c.next - 1, true, fetch
	}
	return 0, false, fetch
}

func (c *cursor) sizeLocked() int64 {
	if rate := max(c.before, c.picks); rate > leasedAbove {
		return min(rate, mostLeased)
	}
	return 1
}

// fetched puts a block by; none when it could not be had.
func (c *cursor) fetched(b block) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fetching = false
	c.spare = b
}

// leased is the next position of the pool from a block, or from the state when there is none at hand.
func (b *Balancer) leased(ctx context.Context, p *pool) (int64, error) {
	position, ok, fetch := p.cursor.take(time.Now())
	if fetch > 0 && b.ctx.Err() == nil {
		b.tasks.Go(func() { b.lease(p, fetch) })
	}
	if ok {
		return position, nil
	}
	return b.Store.Advance(ctx, p.id, 1)
}

// lease fetches the next block.
func (b *Balancer) lease(p *pool, n int64) {
	first, err := b.Store.Advance(b.ctx, p.id, n)
	if err != nil {
		p.cursor.fetched(block{})
		return
	}
	p.cursor.fetched(block{first, first + n})
}
