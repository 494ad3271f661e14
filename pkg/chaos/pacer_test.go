package chaos

import (
	"sync"
	"time"
)

// pacer knows how late this machine was, and when: it wants to run every few milliseconds and notes by how much it could not. What
// is checked to the millisecond allows for that much.
type pacer struct {
	stop chan struct{}
	done sync.WaitGroup

	mu   sync.Mutex // guards late
	late []lateness // in order
}

// lateness is how much later than it wanted somebody ran.
type lateness struct {
	at time.Time
	by time.Duration
}

const (
	// paceEvery is how often it wants to run.
	paceEvery = 5 * time.Millisecond
	// punctual is how late it may be without a note.
	punctual = 5 * time.Millisecond
	// around is how long before and after a moment a delay may be of weight for it.
	around = 500 * time.Millisecond
)

func startPacer() *pacer {
	p := &pacer{stop: make(chan struct{})}
	p.done.Go(p.run)
	return p
}

func (p *pacer) end() {
	close(p.stop)
	p.done.Wait()
}

func (p *pacer) run() {
	for last := time.Now(); ; {
		select {
		case <-p.stop:
			return
		case <-time.After(paceEvery):
		}
		now := time.Now()
		if by := now.Sub(last) - paceEvery; by > punctual {
			p.mu.Lock()
			p.late = append(p.late, lateness{now, by})
			p.mu.Unlock()
		}
		last = now
	}
}

// lateIn is by how much it was late at worst within a span.
func (p *pacer) lateIn(s span) (worst time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.late {
		if !l.at.Before(s.from) && !l.at.Add(-l.by).After(s.to) {
			worst = max(worst, l.by)
		}
	}
	return worst
}

// edge is how long after the end that its caller saw, at this moment, a request is written down at the latest: 50 ms, and twice as
// long as the machine was late, since two processes have to run for it.
func (p *pacer) edge(at time.Time) time.Duration {
	return 50*time.Millisecond + 2*p.lateIn(span{at.Add(-around), at.Add(around)})
}
