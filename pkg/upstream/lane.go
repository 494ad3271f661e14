package upstream

import (
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"openai-api-proxy/pkg/openai"
)

// lane carries one direction of a WebSocket: what one read returned goes out in one write. The frames are read beside it.
type lane struct {
	from  io.Reader
	to    func(p []byte) error
	alive func()                 // something came or went
	last  atomic.Pointer[[]byte] // the frame of ours that ends it, as soon as one may come; nil: none is to

	mu     sync.Mutex // guards all below; held while bytes are written, so that a frame of ours comes between two others
	frames openai.Frames
	bytes  int64
	first  time.Time // when the first bytes were sent on
	ended  time.Time // when the close passed; zero: none did
	mute   bool      // what comes is read and goes nowhere
	over   bool      // the last is sent
	gate   *gate     // nil: all may pass as it comes
	// waiting are the frames of messages of ours.
	waiting [][]byte

	closed chan struct{} // closed when a close has passed
	failed chan struct{} // closed when the other side takes no more
	done   chan struct{} // closed when nothing comes any more
}

func newLane(from io.Reader, to func([]byte) error, alive func()) *lane {
	return &lane{from: from, to: to, alive: alive, closed: make(chan struct{}), failed: make(chan struct{}), done: make(chan struct{})}
}

// run carries until nothing comes any more.
func (l *lane) run(buf []byte) {
	defer close(l.done)
	for {
		n, err := l.from.Read(buf)
		if n > 0 {
			l.alive()
			l.pass(buf[:n])
			l.alive()
		}
		if err != nil {
			return
		}
	}
}

func (l *lane) pass(p []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p = l.read(p)
	closes := l.frames.Closed() != 0 && l.ended.IsZero()
	if closes {
		l.ended = time.Now() // before anybody can answer it
	}
	if !l.mute && len(p) > 0 {
		l.send(p)
	}
	l.endLocked()
	if closes {
		close(l.closed)
	}
}

// read reads the frames of what came, and returns what is to be sent.
func (l *lane) read(p []byte) []byte {
	switch {
	case l.gate != nil:
		return l.gate.pass(p, &l.frames)
	case len(l.waiting) > 0 || l.last.Load() != nil:
		return l.among(p)
	default:
		_, _ = l.frames.Write(p)
		return p
	}
}

// among puts what is ours between the frames of p: the messages that wait behind the first message that ends, and that which
// ends the lane behind the first frame. Nothing follows it.
func (l *lane) among(p []byte) (all []byte) {
	for rest := p; len(rest) > 0; p = rest {
		rest = l.frames.Frame(rest)
		if all = append(all, p[:len(p)-len(rest)]...); l.frames.Closed() != 0 {
			continue
		}
		if len(l.waiting) > 0 && l.frames.Whole() {
			all, l.waiting = slices.Concat(all, slices.Concat(l.waiting...)), nil
		}
		if last := l.last.Load(); last != nil && !l.mute && l.frames.Between() {
			all, l.over = append(all, *last...), true
			_, _ = l.frames.Write(rest)
			break
		}
	}
	return all
}

// mostWaiting bounds the messages of ours that wait for the end of another one.
const mostWaiting = 100

// say puts a message of ours among those that pass: at once, or behind the one that is under way.
func (l *lane) say(text []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch frame := openai.TextFrame(text); {
	case l.mute || l.frames.Closed() != 0:
	case l.frames.Whole():
		l.send(frame)
	case len(l.waiting) < mostWaiting:
		l.waiting = append(l.waiting, frame)
	}
}

func (l *lane) send(p []byte) {
	if l.first.IsZero() {
		l.first = time.Now()
	}
	l.bytes += int64(len(p))
	if err := l.to(p); err != nil {
		l.mute = true
		close(l.failed)
	}
}

// putWithin bounds the wait for a write that is under way.
const putWithin = 300 * time.Millisecond

// put ends the lane with a frame of ours as soon as one may come: not within another, and not behind a close. It waits for neither.
func (l *lane) put(frame []byte) {
	l.last.Store(&frame)
	for end := time.Now().Add(putWithin); !l.mu.TryLock(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			return // who writes does it, unless the other side does not read
		}
	}
	defer l.mu.Unlock()
	l.endLocked()
}

// endLocked ends the lane, if it is to end and may here.
func (l *lane) endLocked() {
	frame := l.last.Load()
	between := l.gate != nil || l.frames.Between() // what a gate lets through is whole
	switch {
	case frame == nil || l.mute:
	case l.over || l.frames.Closed() != 0:
		l.mute = true
	case between:
		_ = l.to(*frame)
		l.mute = true
	}
}

// close is that which passed, and when; 0: none did.
func (l *lane) close() (code int, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.frames.Closed(), l.ended
}

// code is that of the close that passed; 0: none did.
func (l *lane) code() int {
	code, _ := l.close()
	return code
}
