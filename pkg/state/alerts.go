package state

import (
	"context"
	"time"
)

// Alert is something that operators are told, once in the whole fleet.
type Alert struct {
	ID   string // its place among the others, which grows; the store gives it
	Name string // what it is about, the same at every replica that finds it out
	Text []byte // what is told, JSON
}

// Alerts elects who tells operators of what every replica finds out. An answer that was lost may be asked for again under the
// same token, which names who asks and what for.
type Alerts interface {
	// Tell reports whether nobody told an alert of that name before. Then the alert is remembered, and the name is held for the
	// life, or, with none, until End: whoever asks meanwhile is told that somebody did.
	Tell(ctx context.Context, a Alert, token string, life time.Duration) (first bool, err error)

	// End gives a name up that is held until then. It reports whether nobody did before, and remembers the alert if so.
	End(ctx context.Context, a Alert, token string) (first bool, err error)

	// Lasting lists the names that are held until End.
	Lasting(ctx context.Context) ([]string, error)

	// Told lists the latest alerts, newest first: those after an id, or, without one, as many as there are, at most limit.
	Told(ctx context.Context, after string, limit int) ([]Alert, error)
}

const (
	// MostLasting bounds the names that are held until End; beyond it nobody is the first.
	MostLasting = 10_000
	// AlertsKept bounds the alerts that are remembered.
	AlertsKept = 1000
	// AlertMemory is how long they are.
	AlertMemory = 30 * 24 * time.Hour
)
