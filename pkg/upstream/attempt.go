package upstream

import (
	"context"
	"io"
	"sync"
)

// attempt is the context of one attempt by http1: it ends by itself or, once it follows that, with the context of the call. context.WithCancelCause and
// context.AfterFunc do the same, for ten allocations of each request. The standard transport needs those: context.Cause knows of no
// other context's cause.
type attempt struct {
	context.Context // of the call

	mu       sync.Mutex    // guards the rest
	unfollow func() bool   // ends no longer with the call; nil: it does not yet
	done     chan struct{} // closed at the end; nil: nobody asked for it yet
	err      error         // nil: it has not ended
	cause    error         // why it has
	conn     io.Closer     // to be closed at the end; nil: nothing
}

// follow has it end with the context of the call.
func (a *attempt) follow() {
	ctx := a.Context
	unfollow := context.AfterFunc(ctx, func() { a.end(ctx.Err(), context.Cause(ctx)) })
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.err != nil {
		unfollow()
		return
	}
	a.unfollow = unfollow
}

// end ends it. Only the first end counts.
func (a *attempt) end(err, cause error) {
	a.mu.Lock()
	if a.err != nil {
		a.mu.Unlock()
		return
	}
	a.err, a.cause = err, cause
	if a.done != nil {
		close(a.done)
	}
	conn, unfollow := a.conn, a.unfollow
	a.conn = nil
	a.mu.Unlock()
	if unfollow != nil {
		unfollow()
	}
	if conn != nil {
		conn.Close()
	}
}

// Done is closed at the end.
func (a *attempt) Done() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.done == nil {
		a.done = make(chan struct{})
		if a.err != nil {
			close(a.done)
		}
	}
	return a.done
}

// Err is nil until the end.
func (a *attempt) Err() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.err
}

// Cause is why it has ended; nil: it has not.
func (a *attempt) Cause() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.cause
}

// CloseAtEnd has the connection closed at the end, or at once if that was before; nil: none any more. It reports whether the
// attempt goes on.
func (a *attempt) CloseAtEnd(conn io.Closer) (alive bool) {
	a.mu.Lock()
	alive = a.err == nil
	if alive {
		a.conn = conn
	}
	a.mu.Unlock()
	if !alive && conn != nil {
		conn.Close()
	}
	return alive
}
