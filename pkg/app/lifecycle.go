package app

import (
	"errors"
	"fmt"
	"sync"
)

// lifecycle undoes in reverse order what was done.
type lifecycle struct {
	mu    sync.Mutex // guards steps
	steps []step
}

type step struct {
	name string
	stop func() error
}

// onStop registers how to undo what was just done.
func (l *lifecycle) onStop(name string, stop func() error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.steps = append(l.steps, step{name, stop})
}

// unwind undoes everything, last first, and names each step that failed. The second call does nothing.
func (l *lifecycle) unwind() error {
	l.mu.Lock()
	steps := l.steps
	l.steps = nil
	l.mu.Unlock()
	var errs []error
	for i := len(steps) - 1; i >= 0; i-- {
		if err := steps[i].stop(); err != nil {
			errs = append(errs, fmt.Errorf("stopping %s: %w", steps[i].name, err))
		}
	}
	return errors.Join(errs...)
}
