package openai

import (
	"cmp"
	"crypto/rand"
	"encoding/binary"
	"math"
	"strings"
)

// Frames reads the frames of one direction of a WebSocket (RFC 6455) beside the bytes that pass. It changes nothing and never
// fails: what it cannot read it gives up on, and the bytes go on. It needs frames as they are, without permessage-deflate,
// which is therefore never offered to an upstream.
type Frames struct {
	// See is called with each whole text message: its beginning, and for a long one its end apart. nil: nobody wants them.
	See func(begin, end []byte)
	// Text is called with the pieces of each text message as they pass, and with last when one is over. nil: nobody wants them.
	Text func(piece []byte, last bool)
	// Most is how much of a text message See gets from its beginning on; 0: 64 KiB.
	Most int

	head    []byte // of the frame that has begun
	left    uint64 // bytes of its payload that are still to come
	inside  bool   // its head was read
	code    byte
	last    bool // frame of its message
	masked  bool
	mask    [4]byte
	at      int  // in the mask
	message byte // kind of the message that goes on; 0: none does

	begin    []byte
	end      []byte
	control  []byte
	messages int64
	closed   uint16 // what a close said; 0: none came
	binary   bool
	broken   bool
}

// The opcodes of frames.
const (
	opContinue = 0
	opText     = 1
	opBinary   = 2
	opClose    = 8
	opPing     = 9
	opPong     = 10
)

const (
	// textKept is how much of a text message is kept from its beginning on.
	textKept = 64 << 10
	// endKept is how much of a longer one is kept of its end.
	endKept = 16 << 10
	// mostControl is the longest payload of a close, ping or pong.
	mostControl = 125
	// noCode stands for a close without a code (RFC 6455, 7.4.1).
	noCode = 1005
)

// Write takes the next bytes. It keeps none of p.
func (f *Frames) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		rest = f.Frame(rest)
	}
	return len(p), nil
}

// Frame takes the next bytes up to the end of a frame, and returns the rest of them.
func (f *Frames) Frame(p []byte) (rest []byte) {
	for !f.broken && len(p) > 0 {
		if f.inside {
			p = f.payload(p)
		} else {
			p = f.open(p)
		}
		if f.Between() {
			return p
		}
	}
	return nil
}

// open reads on in the head of a frame.
func (f *Frames) open(p []byte) []byte {
	want := 2
	if len(f.head) >= 2 {
		want = headSize(f.head)
	}
	n := min(want-len(f.head), len(p))
	f.head = append(f.head, p[:n]...)
	if len(f.head) < 2 || len(f.head) < headSize(f.head) {
		return p[n:]
	}
	f.begun()
	return p[n:]
}

func headSize(head []byte) int {
	size := 2
	switch head[1] & 0x7f {
	case 126:
		size += 2
	case 127:
		size += 8
	}
	if head[1]&0x80 != 0 {
		size += 4
	}
	return size
}

// begun takes up a frame whose head is whole.
func (f *Frames) begun() {
	f.code, f.last, f.masked = f.head[0]&0x0f, f.head[0]&0x80 != 0, f.head[1]&0x80 != 0
	f.at = 0
	switch short := f.head[1] & 0x7f; short {
	case 126:
		f.left = uint64(binary.BigEndian.Uint16(f.head[2:]))
	case 127:
		f.left = binary.BigEndian.Uint64(f.head[2:])
	default:
		f.left = uint64(short)
	}
	if f.masked {
		copy(f.mask[:], f.head[len(f.head)-4:])
	}
	if f.broken = !f.legal(); f.broken {
		return
	}
	if f.code == opText || f.code == opBinary {
		f.message, f.binary = f.code, f.binary || f.code == opBinary
	}
	if f.inside = f.left > 0; !f.inside {
		f.ended()
	}
}

// legal reports whether such a frame may come now. Reserved bits belong to extensions, and there are none.
func (f *Frames) legal() bool {
	if f.head[0]&0x70 != 0 || f.left>>63 != 0 {
		return false
	}
	switch f.code {
	case opContinue:
		return f.message != 0
	case opText, opBinary:
		return f.message == 0
	case opClose, opPing, opPong:
		return f.last && f.left <= mostControl
	default:
		return false
	}
}

// payload reads on in the payload of a frame.
func (f *Frames) payload(p []byte) []byte {
	n := int(min(f.left, uint64(len(p))))
	switch {
	case f.code == opClose:
		f.control = f.plain(f.control, p[:n])
	case f.code <= opBinary && f.message == opText:
		f.text(p[:n])
	}
	f.at = (f.at + n) % 4
	if f.left -= uint64(n); f.left == 0 {
		f.ended()
	}
	return p[n:]
}

// text hands on a piece of a text message.
func (f *Frames) text(p []byte) {
	if f.See != nil {
		f.keep(p)
	}
	if f.Text != nil {
		if f.masked {
			p = f.plain(nil, p)
		}
		f.Text(p, false)
	}
}

// plain appends bytes without their mask.
func (f *Frames) plain(to, p []byte) []byte {
	from := len(to)
	to = append(to, p...)
	if f.masked {
		for i := range p {
			to[from+i] ^= f.mask[(f.at+i)%4]
		}
	}
	return to
}

// keep keeps the text, or the beginning and the end of a long one.
func (f *Frames) keep(p []byte) {
	if room := cmp.Or(f.Most, textKept) - len(f.begin); room > 0 {
		n := min(room, len(p))
		f.begin = f.plain(f.begin, p[:n])
		if p = p[n:]; len(p) == 0 {
			return
		}
		f.at += n // until the caller counts the whole
		defer func() { f.at -= n }()
	}
	if skip := len(p) - endKept; skip > 0 {
		p, f.end = p[skip:], f.end[:0]
		f.at += skip
		defer func() { f.at -= skip }()
	}
	if len(f.end)+len(p) > 2*endKept {
		f.end = append(f.end[:0], f.end[len(f.end)-endKept:]...)
	}
	f.end = f.plain(f.end, p)
}

// ended concludes a frame, and with its last frame a message.
func (f *Frames) ended() {
	f.inside, f.head = false, f.head[:0]
	switch {
	case f.code == opClose:
		if f.closed = noCode; len(f.control) >= 2 {
			f.closed = binary.BigEndian.Uint16(f.control)
		}
		f.control = f.control[:0]
	case f.code <= opBinary && f.last:
		f.messages++
		if f.message == opText && f.See != nil {
			f.See(f.begin, f.end)
			f.begin, f.end = f.begin[:0], f.end[:0]
			if cap(f.begin) > 2*textKept {
				f.begin = nil // a session is long, and few of its messages are
			}
		}
		if f.message == opText && f.Text != nil {
			f.Text(nil, true)
		}
		f.message = 0
	}
}

// Messages is how many text and binary messages there were.
func (f *Frames) Messages() int64 { return f.messages }

// Closed is the code of the close that came; 0: none did.
func (f *Frames) Closed() int { return int(f.closed) }

// Between reports whether a frame may be put in here: nothing of another one is under way.
func (f *Frames) Between() bool { return !f.broken && !f.inside && len(f.head) == 0 }

// Whole reports whether a message may be put in here: no other is under way.
func (f *Frames) Whole() bool { return f.Between() && f.message == 0 }

// Texts reports whether all that came could be read as texts.
func (f *Frames) Texts() bool { return !f.broken && !f.binary }

// TextFrame is a text message in one frame, as servers send it.
func TextFrame(text []byte) []byte {
	frame := []byte{0x80 | opText}
	switch n := len(text); {
	case n <= mostControl:
		frame = append(frame, byte(n))
	case n <= math.MaxUint16:
		frame = binary.BigEndian.AppendUint16(append(frame, 126), uint16(n))
	default:
		frame = binary.BigEndian.AppendUint64(append(frame, 127), uint64(n))
	}
	return append(frame, text...)
}

// CloseFrame is a frame that closes, masked as clients must do it or not.
func CloseFrame(code int, reason string, masked bool) []byte {
	payload := binary.BigEndian.AppendUint16(nil, uint16(code))
	payload = append(payload, strings.ToValidUTF8(reason[:min(len(reason), mostControl-2)], "")...) // half a letter is a failure of ours
	frame := []byte{0x80 | opClose, byte(len(payload))}
	if !masked {
		return append(frame, payload...)
	}
	var mask [4]byte
	_, _ = rand.Read(mask[:]) // never fails
	frame[1] |= 0x80
	frame = append(frame, mask[:]...)
	for i, b := range payload {
		frame = append(frame, b^mask[i%4])
	}
	return frame
}
