package main

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"time"
)

const (
	// logDelay is how long a line may wait to be written together with others.
	logDelay = 100 * time.Millisecond
	// logBytes that wait are written at once.
	logBytes = 32 << 10
)

// output collects the lines of the log, so that a busy proxy does not pay one system call for each request. What waits is
// written within logDelay, with every warning and error, and by Flush at the end: a SIGKILL, or a crash of the Go runtime,
// loses the access lines of the last 100 ms and nothing else, beside those that package edge had not written here.
type output struct {
	to io.Writer

	mu      sync.Mutex // guards pending; not held while it is written
	pending []byte
	timer   *time.Timer

	writing sync.Mutex // held while lines are written, so that they keep their order; guards spare
	spare   []byte
}

func newOutput(to io.Writer) *output {
	o := &output{to: to}
	o.timer = time.AfterFunc(logDelay, o.Flush)
	return o
}

// Write takes whole lines. Whoever fills the buffer writes it, and waits like everybody after him for a log that is slow.
func (o *output) Write(lines []byte) (int, error) {
	o.mu.Lock()
	if len(o.pending) == 0 {
		o.timer.Reset(logDelay)
	}
	o.pending = append(o.pending, lines...)
	full := len(o.pending) >= logBytes
	o.mu.Unlock()
	if full {
		o.Flush()
	}
	return len(lines), nil
}

// Flush writes what waits.
func (o *output) Flush() {
	o.writing.Lock()
	defer o.writing.Unlock()
	o.mu.Lock()
	o.pending, o.spare = o.spare[:0], o.pending
	o.mu.Unlock()
	if len(o.spare) > 0 {
		_, _ = o.to.Write(o.spare) // there is nobody to tell
	}
}

// urgent writes warnings and errors at once, and all that waits before them.
type urgent struct {
	slog.Handler
	out *output
}

func (u urgent) Handle(ctx context.Context, r slog.Record) error {
	err := u.Handler.Handle(ctx, r)
	if r.Level >= slog.LevelWarn {
		u.out.Flush()
	}
	return err
}

func (u urgent) WithAttrs(attrs []slog.Attr) slog.Handler {
	return urgent{u.Handler.WithAttrs(attrs), u.out}
}

func (u urgent) WithGroup(name string) slog.Handler { return urgent{u.Handler.WithGroup(name), u.out} }
