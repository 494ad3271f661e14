package upstream

import (
	"io"
	"slices"
	"sync"
	"time"

	"openai-api-proxy/pkg/openai"
)

// lane carries one direction of a WebSocket: what one read returned goes out in one write. The frames are read beside it.
type lane struct {
	from  io.Reader
	to    func(p []byte) error
	alive func() // something came or went

	mu     sync.Mutex // guards all below; held while bytes are written, so that a frame of ours comes between two others
	frames openai.Frames
	bytes  int64
	first  time.Time // when the first bytes were sent on
	ended  time.Time // when the close passed; zero: none did
	mute   bool      // what comes is read and goes nowhere
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
	if closes {
		close(l.closed)
	}
}

// read reads the frames of what came, and returns what is to be sent.
func (l *lane) read(p []byte) []byte {
	switch {
	case l.gate != nil:
		return l.gate.pass(p, &l.frames)
	case len(l.waiting) > 0:
		return l.among(p)
	default:
		_, _ = l.frames.Write(p)
		return p
	}
}

// among puts the messages that wait behind the first that ends in p.
func (l *lane) among(p []byte) []byte {
	for rest := p; len(rest) > 0; {
		rest = l.frames.Frame(rest)
		if !l.frames.Whole() || l.frames.Closed() != 0 {
			continue
		}
		at := len(p) - len(rest)
		all := slices.Concat(p[:at], slices.Concat(l.waiting...), rest)
		l.waiting = nil
		_, _ = l.frames.Write(rest)
		return all
	}
	return p
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

// put ends the lane with a frame of ours, if one may come here: not within another, and not behind a close.
func (l *lane) put(frame []byte) {
	for end := time.Now().Add(putWithin); !l.mu.TryLock(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			return // the other side does not read
		}
	}
	defer l.mu.Unlock()
	between := l.gate != nil || l.frames.Between() // what a gate lets through is whole
	if !l.mute && between && l.frames.Closed() == 0 {
		_ = l.to(frame)
	}
	l.mute = true
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
