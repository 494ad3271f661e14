package redisstate

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/sony/gobreaker/v2"
)

// guard is the circuit breaker in front of Redis: after a few failures calls fail at once, so that an outage costs
// requests nothing, until one call a second finds Redis back.
type guard struct {
	breaker *gobreaker.TwoStepCircuitBreaker[struct{}]
	since   atomic.Int64 // unix ns of the first failure of the present outage; 0: none
	trips   atomic.Int64 // commands and pipelines that were sent
}

const (
	// guardTrips is how many calls in a row must fail.
	guardTrips = 3
	// guardRest is the time between two tries of a Redis that is away.
	guardRest = 500 * time.Millisecond
)

func newGuard() *guard {
	return &guard{breaker: gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Name: "redis", MaxRequests: 1, Timeout: guardRest,
		ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= guardTrips },
		IsExcluded:  func(err error) bool { return errors.Is(err, context.Canceled) },
	})}
}

// passed marks the context of a call that is let through.
type passed struct{}

// weight is how many calls a trip stands for.
type weight struct{}

// weighing says that a trip carries n calls: what would have failed n times has failed n times.
func weighing(ctx context.Context, n int) context.Context {
	if n == 1 {
		return ctx
	}
	return context.WithValue(ctx, weight{}, n)
}

// allow asks the breaker for a trip, as often as it weighs, and no more often than it takes to open it.
func (g *guard) allow(ctx context.Context) (done func(error), err error) {
	n, _ := ctx.Value(weight{}).(int)
	all := make([]func(error), 0, guardTrips)
	for range min(max(n, 1), guardTrips) {
		one, err := g.breaker.Allow()
		if err != nil && len(all) == 0 {
			return nil, err
		}
		if err == nil { // else it is half open, and this is the trip that may find Redis back
			all = append(all, one)
		}
	}
	return func(err error) {
		for _, one := range all {
			one(err)
		}
	}, nil
}

// around runs one command or pipeline. A command may need a new connection, whose greeting comes through here too: it
// belongs to the command and is let through with it, or the one call that may find Redis back would refuse itself.
func (g *guard) around(ctx context.Context, call func(context.Context) error) error {
	if ctx.Value(passed{}) != nil {
		return call(ctx)
	}
	done, err := g.allow(ctx)
	if err != nil {
		return err
	}
	g.trips.Add(1)
	err = call(context.WithValue(ctx, passed{}, true))
	if alive(err) {
		g.since.Store(0)
		done(nil)
		return err
	}
	if !errors.Is(err, context.Canceled) {
		g.since.CompareAndSwap(0, time.Now().UnixNano())
	}
	done(err)
	return err
}

// alive reports whether an error still proves that Redis works: a nil reply, or a refusal of what was asked. A server
// that may not write now, or not yet, is as good as none.
func alive(err error) bool {
	if err == nil || errors.Is(err, redis.Nil) {
		return true
	}
	var refused redis.Error
	if !errors.As(err, &refused) {
		return false
	}
	for _, away := range []string{"READONLY", "LOADING", "CLUSTERDOWN", "MASTERDOWN", "TRYAGAIN", "OOM", "MISCONF", "NOREPLICAS", "BUSY"} {
		if strings.HasPrefix(refused.Error(), away) {
			return false
		}
	}
	return true
}

// DialHook, ProcessHook and ProcessPipelineHook make guard a redis.Hook.
func (g *guard) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (g *guard) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := g.around(ctx, func(ctx context.Context) error { return next(ctx, cmd) })
		if err != nil && cmd.Err() == nil {
			cmd.SetErr(err)
		}
		return err
	}
}

func (g *guard) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		ran := false
		err := g.around(ctx, func(ctx context.Context) error {
			ran = true
			return next(ctx, cmds)
		})
		if !ran { // otherwise each command has its own answer, whatever became of the others
			for _, cmd := range cmds {
				cmd.SetErr(err)
			}
		}
		return err
	}
}
