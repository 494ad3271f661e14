package redisstate

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/sony/gobreaker/v2"
)

// A trip that carried many and failed opens the breaker by itself; one of them that succeeds after a while closes it.
func TestTripsWeigh(t *testing.T) {
	away := errors.New("away")
	for n, opens := range map[int]bool{1: false, 2: false, 3: true, 50: true} {
		g := newGuard()
		ends := func(err error) error {
			return g.around(weighing(t.Context(), n), func(context.Context) error { return err })
		}
		ends(nil)
		ends(away)
		if err := ends(nil); errors.Is(err, gobreaker.ErrOpenState) != opens {
			t.Errorf("after a trip of %d: %v", n, err)
		}
		if opens {
			time.Sleep(guardRest + 100*time.Millisecond)
			for range 3 {
				if err := ends(nil); err != nil {
					t.Errorf("a trip of %d when it may try again: %v", n, err)
				}
			}
		}
	}
}
