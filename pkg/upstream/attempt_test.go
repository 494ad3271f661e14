package upstream

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// closed counts how often it was closed.
type closed int

func (c *closed) Close() error { *c++; return nil }

// An attempt that goes on ends a moment after its caller has left, and closes its connection.
func TestAttemptsFollowTheirCallers(t *testing.T) {
	left := errors.New("left")
	for _, at := range []time.Duration{0, time.Millisecond, childhood, 10 * childhood} {
		synctest.Test(t, func(t *testing.T) {
			ctx, leave := context.WithCancelCause(t.Context())
			a, v, conn := new(Answer), new(vigil), new(closed)
			a.attempt.Context = ctx
			a.quiet.begin(a, v, time.Hour, time.Hour)
			a.attempt.CloseAtEnd(conn)
			time.Sleep(at)
			if a.cause() != nil || a.attempt.Err() != nil {
				t.Fatal("it has ended by itself")
			}
			done := a.attempt.Done()
			leave(left)
			time.Sleep(2 * childhood)
			synctest.Wait()
			select {
			case <-done:
			default:
				t.Error("nobody is told")
			}
			if a.cause() != left || !errors.Is(a.attempt.Err(), context.Canceled) || *conn != 1 {
				t.Errorf("after %v: ended for %v, %v, and closed %d times", at, a.cause(), a.attempt.Err(), *conn)
			}
			late := new(closed)
			if a.attempt.CloseAtEnd(late) || *late != 1 {
				t.Error("a connection is kept by an attempt that has ended")
			}
			a.cancel(errIdle)
			a.quiet.end()
			if a.cause() != left {
				t.Error("a second end counts")
			}
		})
	}
}

// One that is over in time follows nobody.
func TestShortAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, v, conn := new(Answer), new(vigil), new(closed)
		ctx, leave := context.WithCancel(t.Context())
		defer leave()
		a.attempt.Context = ctx
		a.quiet.begin(a, v, time.Hour, time.Hour)
		a.attempt.CloseAtEnd(conn)
		time.Sleep(childhood)
		a.attempt.CloseAtEnd(nil)
		a.quiet.end()
		a.cancel(errClosed)
		time.Sleep(4 * childhood)
		synctest.Wait()
		if a.attempt.unfollow != nil || *conn != 0 {
			t.Errorf("it follows its caller, or %d connections were closed", *conn)
		}
		a.follow() // too late
		if a.attempt.unfollow != nil {
			t.Error("it follows its caller after its end")
		}
	})
}
