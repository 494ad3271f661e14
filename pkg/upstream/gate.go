package upstream

import (
	"errors"
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

// gate holds what the caller says until a message is whole and was looked at.
type gate struct {
	look func(text []byte) error
	stop func(why error) // the session
	held []byte
	room *atomic.Int64 // what all sessions hold
	why  error         // nil: nothing was refused
}

// guard puts a gate before the lane.
func (l *lane) guard(look func([]byte) error, stop func(error), room *atomic.Int64) {
	g := &gate{look: look, stop: stop, room: room}
	l.gate, l.frames.Most, l.frames.See = g, mostHeld, g.see
}

// see looks at a message.
func (g *gate) see(begin, end []byte) {
	switch {
	case g.why != nil:
	case len(end) > 0:
		g.why = errTooLong
	default:
		if err := g.look(begin); err != nil {
			g.why = refusal{refused, err}
		}
	}
}

// release is what may pass after the bytes p, which the frames have read.
func (g *gate) release(p []byte, frames *openai.Frames) []byte {
	switch {
	case g.why != nil:
	case !frames.Texts():
		g.why = errNoText
	case len(g.held)+len(p) > mostHeld+copyBuffer:
		g.why = errTooLong
	}
	if g.why == nil && !frames.Whole() {
		g.hold(p)
		p = nil
	}
	if g.why != nil {
		g.drop()
		g.stop(g.why)
		return nil
	}
	if p != nil && len(g.held) > 0 {
		p = append(g.held, p...)
		g.drop()
	}
	return p
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
