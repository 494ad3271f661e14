package redisstate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"openai-api-proxy/pkg/state"
)

// carrier notes who went together, and holds up each trip until it is told how it ends.
type carrier struct {
	trips chan []string
	end   chan error
}

func newCarrier() *carrier { return &carrier{make(chan []string, 100), make(chan error)} }

func (c *carrier) carry(ctx context.Context, asks []*ask) {
	var names []string
	for _, a := range asks {
		names = append(names, a.reservation)
	}
	c.trips <- names
	var err error
	select {
	case err = <-c.end:
	case <-ctx.Done():
		err = unavailable(ctx.Err())
	}
	for _, a := range asks {
		if a.err = err; err == nil {
			a.verdict = state.Verdict{OK: true, Refused: a.reservation} // its own, and nobody else's
		}
	}
}

// answer is what a caller of a line was told.
type answer struct {
	name    string
	verdict state.Verdict
	err     error
	waited  time.Duration
}

// asks spends in the background; what is told to it comes through the channel.
func (l *line) asks(ctx context.Context, name string, told chan<- answer) {
	go func() {
		begin := time.Now()
		v, err := l.spend(ctx, &ask{reservation: name, until: begin.Add(time.Second), err: errUnanswered})
		told <- answer{name, v, err, time.Since(begin)}
	}()
	synctest.Wait()
}

func (l *line) busy() (trips, waiting int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.trips, len(l.waiting)
}

func (l *line) idle(t *testing.T) {
	t.Helper()
	if trips, waiting := l.busy(); trips != 0 || waiting != 0 {
		t.Errorf("%d trips, %d waiting", trips, waiting)
	}
}

func gone(t *testing.T, c *carrier, want string) {
	t.Helper()
	synctest.Wait()
	select {
	case got := <-c.trips:
		if strings.Join(got, " ") != want {
			t.Errorf("%v went, want %s", got, want)
		}
	default:
		if want != "" {
			t.Errorf("nobody went, want %s", want)
		}
	}
}

// hear collects so many answers, each of which must be the caller's own.
func hear(t *testing.T, told <-chan answer, names ...string) {
	t.Helper()
	var heard []string
	for range names {
		a := <-told
		if a.err != nil || !a.verdict.OK || a.verdict.Refused != a.name {
			t.Errorf("%s was told %+v, %v", a.name, a.verdict, a.err)
		}
		heard = append(heard, a.name)
	}
	if slices.Sort(heard); strings.Join(heard, " ") != strings.Join(names, " ") {
		t.Errorf("heard %v, want %v", heard, names)
	}
}

// Who comes to an empty line goes at once; who comes meanwhile goes together, in order, behind whoever came last.
func TestLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, told := newCarrier(), make(chan answer, 10)
		l := &line{carry: c.carry}
		for _, name := range []string{"a", "b", "c", "d"} {
			l.asks(t.Context(), name, told)
		}
		gone(t, c, "a")
		gone(t, c, "")
		c.end <- nil
		hear(t, told, "a")
		gone(t, c, "b c d")
		l.asks(t.Context(), "e", told)
		c.end <- nil
		hear(t, told, "b", "c", "d")
		gone(t, c, "e")
		c.end <- nil
		hear(t, told, "e")
		l.idle(t)
	})
}

// Who leaves before the trip was asked for nothing; who leaves during it is not known to have been.
func TestLeavingALine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, told := newCarrier(), make(chan answer, 10)
		l := &line{carry: c.carry}
		ctx, leave := context.WithCancel(t.Context())
		l.asks(ctx, "first", told)
		gone(t, c, "first")
		l.asks(t.Context(), "stays", told)
		l.asks(ctx, "left", told)
		leave()
		if a := <-told; a.name != "left" || !errors.Is(a.err, state.ErrUnsent) || !errors.Is(a.err, context.Canceled) {
			t.Errorf("%+v", a)
		}
		l.asks(ctx, "too late", told)
		if a := <-told; !errors.Is(a.err, state.ErrUnsent) {
			t.Errorf("%+v", a)
		}
		c.end <- nil // whoever carries the others goes on although nobody waits for it
		hear(t, told, "first")

		gone(t, c, "stays")
		ctx, leave = context.WithCancel(t.Context())
		l.asks(ctx, "rides", told)
		l.asks(t.Context(), "leads", told)
		c.end <- nil
		hear(t, told, "stays")
		gone(t, c, "rides leads")
		leave()
		if a := <-told; a.name != "rides" || errors.Is(a.err, state.ErrUnsent) || !errors.Is(a.err, state.ErrUnavailable) {
			t.Errorf("%+v", a)
		}
		c.end <- nil
		hear(t, told, "leads")
		gone(t, c, "")
	})
}

// A trip that is overdue does not hold up the others: they go beside it, in order, and so do those after them.
func TestOverdue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, told := newCarrier(), make(chan answer, 10)
		l := &line{carry: c.carry}
		for _, name := range []string{"lost", "b", "c"} {
			l.asks(t.Context(), name, told)
		}
		gone(t, c, "lost")
		time.Sleep(overdue)
		gone(t, c, "b c")
		l.asks(t.Context(), "d", told)
		l.asks(t.Context(), "e", told)
		c.end <- nil // heard by either
		c.end <- nil
		hear(t, told, "b", "c", "lost")
		gone(t, c, "d e")
		c.end <- nil
		hear(t, told, "d", "e")
		synctest.Wait()
		l.idle(t)
	})
}

// While nothing comes back everybody waits as long as one call may take, and no longer; nobody is refused.
func TestLineThatStands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, told := newCarrier(), make(chan answer, 100)
		l := &line{carry: c.carry}
		for i := range 30 {
			l.asks(t.Context(), fmt.Sprint(i), told)
			time.Sleep(100 * time.Millisecond)
			if trips, _ := l.busy(); trips > mostTrips {
				t.Errorf("%d trips at once", trips)
			}
		}
		for range 30 {
			a := <-told
			if !errors.Is(a.err, state.ErrUnavailable) || a.verdict.Refused != "" || a.waited != time.Second {
				t.Errorf("%s after %v: %+v, %v", a.name, a.waited, a.verdict, a.err)
			}
		}
		synctest.Wait()
		l.idle(t)
	})
}

// However callers come, leave and give up, each hears once, and the line is empty in the end.
func TestLineAtRandom(t *testing.T) {
	var all sync.WaitGroup
	var ran sync.Map
	l := &line{carry: func(_ context.Context, asks []*ask) {
		for _, a := range asks {
			if _, again := ran.LoadOrStore(a.reservation, true); again {
				t.Errorf("%s went twice", a.reservation)
			}
			a.err, a.verdict = nil, state.Verdict{OK: true, Refused: a.reservation}
		}
		time.Sleep(50 * time.Microsecond)
	}}
	for i := range 64 {
		all.Go(func() {
			for k := range 100 {
				name := fmt.Sprint(i, "-", k)
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(1+(i*k)%5)*40*time.Microsecond)
				v, err := l.spend(ctx, &ask{reservation: name, until: time.Now().Add(time.Duration(1+k%3) * 50 * time.Microsecond), err: errUnanswered})
				cancel()
				_, went := ran.Load(name)
				if err == nil && v.Refused != name || errors.Is(err, state.ErrUnsent) && went || err != nil && !errors.Is(err, state.ErrUnavailable) {
					t.Errorf("%s: %+v, %v, went %v", name, v, err, went)
				}
			}
		})
	}
	all.Wait()
	l.idle(t)
}
