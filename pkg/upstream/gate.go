package upstream

import (
	"errors"
	"slices"
	"sync/atomic"

	"openai-api-proxy/pkg/openai"
)

const (
	// mostHeld bounds a message that is held until it was looked at.
	mostHeld = 16 << 20
	// heldByAll bounds what all sessions hold together.
	heldByAll = 128 << 20
)

// Why a message is refused besides what the gate says of it: the code of the close, and its reason.
var (
	errNoText  = refusal{1003, errors.New("only text messages are taken here")}
	errTooLong = refusal{1009, errors.New("the message is too long to be looked at")}
	errNoRoom  = refusal{1013, errors.New("too many long messages at once; try again")}
)

// refusal ends a session for what the caller said.
type refusal struct {
	code int
	error
}

// refused is the code of a close for a message that may not pass.
const refused = 1008

// Unsaid is why the upstream does not get one message. The session goes on, and the caller has the event for an answer.
type Unsaid struct{ Event []byte }

func (u *Unsaid) Error() string { return "a message was refused" }

// gate holds what the caller says until a message is whole and was looked at.
type gate struct {
	look   func(text []byte) error
	stop   func(why error)    // the session
	answer func(event []byte) // to the caller
	held   []byte
	room   *atomic.Int64 // what all sessions hold
	unsaid bool          // the message that is whole now
	why    error         // nil: nothing was refused
}

// guard puts a gate before the lane.
func (l *lane) guard(g *gate) { l.gate, l.frames.Most, l.frames.See = g, mostHeld, g.see }

// see looks at a message.
func (g *gate) see(begin, end []byte) {
	switch {
	case g.why != nil:
	case len(end) > 0:
		g.why = errTooLong
	default:
		err := g.look(begin)
		var u *Unsaid
		switch {
		case errors.As(err, &u):
			g.unsaid = true
			g.answer(u.Event)
		case err != nil:
			g.why = refusal{refused, err}
		}
	}
}

// pass reads the bytes p and returns what may pass now. Behind a refusal nothing does, and is read all the same: the caller may
// answer the close.
func (g *gate) pass(p []byte, frames *openai.Frames) (free []byte) {
	for len(p) > 0 {
		rest := frames.Frame(p)
		free = g.release(free, p[:len(p)-len(rest)], frames)
		p = rest
	}
	if g.why != nil {
		g.drop()
		g.stop(g.why)
		return nil
	}
	return free
}

// release puts to what is free what may pass after a frame, or a part of one, that was read.
func (g *gate) release(free, frame []byte, frames *openai.Frames) []byte {
	switch {
	case g.why != nil:
	case !frames.Texts():
		g.why = errNoText
	case len(g.held)+len(frame) > mostHeld+copyBuffer:
		g.why = errTooLong
	case !frames.Whole():
		g.hold(frame)
	case g.unsaid:
		g.unsaid = false
		g.drop()
	case len(free)+len(g.held) == 0:
		return slices.Clip(frame)
	default:
		free = append(append(free, g.held...), frame...)
		g.drop()
	}
	return free
}

func (g *gate) hold(p []byte) {
	g.held = append(g.held, p...)
	if g.room.Add(int64(len(p))) > heldByAll {
		g.why = errNoRoom
	}
}

// drop gives back the room of what was held; what was handed on stays as it is.
func (g *gate) drop() {
	g.room.Add(-int64(len(g.held)))
	g.held = nil
}
