package memstate

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"openai-api-proxy/pkg/state"
)

// mostInMemory bounds the points in memory, of all steps together. Without a file these are all there are: the oldest
// minutes go first, then hours, then days.
const mostInMemory = 200_000

// stepAt is one step: which, and when it began, in unix seconds.
type stepAt struct {
	step state.Step
	at   int64
}

func (a stepAt) start() time.Time { return time.Unix(a.at, 0).UTC() }

// over reports whether the step has ended and a while has passed, so that little more will be added.
func (a stepAt) over(now time.Time) bool {
	return now.Sub(a.start()) > a.step.Length()+10*time.Second
}

type seriesName struct {
	kind state.Kind
	id   string
}

// point is the amounts of Counts, in their order.
type point [state.AmountCount]int64

func (p *point) add(c *state.Counts) {
	for i, a := range c.Amounts() {
		p[i] += *a.At
	}
}

func (p *point) counts() (c state.Counts) {
	for i, a := range c.Amounts() {
		*a.At = p[i]
	}
	return c
}

// points are all series of one step.
type points map[seriesName]*point

// series are the points of the steps in memory. A step is there whole or not at all: read from the file when something is
// added, given up when it is over and written.
type series struct {
	mu    sync.Mutex // guards all below
	steps map[stepAt]points
	dirty map[stepAt]map[seriesName]bool

	mostSeries, mostPoints int // bounds, lower in tests
}

// addSeries adds to the minute, hour and day, or to none of them.
func (s *Store) addSeries(at time.Time, more []state.Usage) error {
	a := &s.series
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.steps[stepAt{state.ByMinute, state.ByMinute.Start(at).Unix()}] == nil { // once a minute, before anything is added
		a.shrinkLocked(s.now())
	}
	for _, step := range state.Steps {
		if err := s.presentLocked(stepAt{step, step.Start(at).Unix()}); err != nil {
			return err
		}
	}
	for _, step := range state.Steps {
		when := stepAt{step, step.Start(at).Unix()}
		for i := range more {
			a.addLocked(when, seriesName{more[i].Kind, more[i].ID}, &more[i].Counts)
		}
	}
	return nil
}

// presentLocked brings a step into memory.
func (s *Store) presentLocked(when stepAt) error {
	a := &s.series
	if a.steps[when] != nil {
		return nil
	}
	found := points{}
	if s.file != nil {
		err := s.reading(func(r reader) error {
			r.step(when, found)
			return nil
		})
		if err != nil {
			return err
		}
	}
	a.steps[when] = found
	return nil
}

func (a *series) addLocked(when stepAt, name seriesName, more *state.Counts) {
	step := a.steps[when]
	p := step[name]
	if p == nil && len(step) >= a.mostSeries && name.kind != state.OfAll && name.id != state.OtherSeries {
		name.id = state.OtherSeries
		p = step[name]
	}
	if p == nil {
		p = new(point)
		step[name] = p
	}
	p.add(more)
	if a.dirty[when] == nil {
		a.dirty[when] = map[seriesName]bool{}
	}
	a.dirty[when][name] = true
}

// shrinkLocked forgets what is too old, and the oldest steps that are over while there are too many points.
func (a *series) shrinkLocked(now time.Time) {
	var over []stepAt
	all := 0
	for when, step := range a.steps {
		switch {
		case now.Sub(when.start()) > when.step.Kept():
			a.dropLocked(when)
			continue
		case when.over(now):
			over = append(over, when)
		}
		all += len(step)
	}
	if all <= a.mostPoints {
		return
	}
	slices.SortFunc(over, func(x, y stepAt) int {
		return cmp.Or(cmp.Compare(x.step.Length(), y.step.Length()), cmp.Compare(x.at, y.at))
	})
	for _, when := range over {
		if all <= a.mostPoints {
			return
		}
		all -= len(a.steps[when])
		a.dropLocked(when)
	}
}

func (a *series) dropLocked(when stepAt) {
	delete(a.steps, when)
	delete(a.dirty, when)
}

// settle gives up the steps that are over and written. Only the flusher calls it, between two flushes.
func (a *series) settle(now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for when := range a.steps {
		if when.over(now) && len(a.dirty[when]) == 0 {
			a.dropLocked(when)
		}
	}
}

// collect copies the points that changed and forgets that they did.
func (a *series) collect() map[stepAt]map[seriesName]point {
	a.mu.Lock()
	defer a.mu.Unlock()
	changed := map[stepAt]map[seriesName]point{}
	for when, names := range a.dirty {
		changed[when] = map[seriesName]point{}
		for name := range names {
			changed[when][name] = *a.steps[when][name]
		}
	}
	clear(a.dirty)
	return changed
}

// remark notes points again that could not be written, unless their step was forgotten meanwhile.
func (a *series) remark(changed map[stepAt]map[seriesName]point) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for when, names := range changed {
		if a.steps[when] == nil {
			continue
		}
		if a.dirty[when] == nil {
			a.dirty[when] = map[seriesName]bool{}
		}
		for name := range names {
			a.dirty[when][name] = true
		}
	}
}

// Series takes each step from memory, or else from the file.
func (s *Store) Series(_ context.Context, q state.SeriesQuery) ([]state.Point, error) {
	starts := q.Starts(s.now())
	held := s.series.find(q, starts) // before the file is read: a step that is given up meanwhile is there
	var found []state.Point
	err := s.reading(func(r reader) error {
		for _, at := range starts {
			step, there := held[at.Unix()]
			if !there {
				step = r.points(q, at)
			}
			if len(found)+len(step) > state.MostFound {
				return state.ErrTooMuch
			}
			for _, p := range step {
				usage := state.Usage{Kind: q.Kind, ID: p.id, Counts: p.counts()}
				found = append(found, state.Point{At: at, Usage: usage})
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

type namedPoint struct {
	id string
	point
}

// find copies what is asked for of the steps that are in memory, by their starts, in the order of ids.
func (a *series) find(q state.SeriesQuery, starts []time.Time) map[int64][]namedPoint {
	a.mu.Lock()
	defer a.mu.Unlock()
	found := map[int64][]namedPoint{}
	for _, at := range starts {
		step, there := a.steps[stepAt{q.Step, at.Unix()}]
		if !there {
			continue
		}
		list := []namedPoint{}
		for name, p := range step {
			if name.kind == q.Kind && (q.ID == "" || q.ID == name.id) {
				list = append(list, namedPoint{name.id, *p})
			}
		}
		slices.SortFunc(list, func(x, y namedPoint) int { return cmp.Compare(x.id, y.id) })
		found[at.Unix()] = list
	}
	return found
}
