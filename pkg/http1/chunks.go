package http1

import (
	"errors"
	"math"
)

// chunks takes the frame of a body in chunks (RFC 9112, 7.1) off the bytes as they come, where they lie: no second buffer, and
// whatever one read of the connection brought is one piece. Extensions and trailers are passed over. What net/http would refuse
// is refused, since two who disagree about where an answer ends are how one gets into another: a line ends with CR and LF.
type chunks struct {
	place  place
	left   uint64 // bytes that are still to come of the data
	digits int    // of the size
	line   int    // bytes of this line, or of all trailers
	excess int64  // what was sent beyond data and short frames: nobody is to be kept busy with frames of nothing
}

// place is where in the frame the next byte belongs.
type place uint8

const (
	inSize place = iota
	afterSize
	inExtension
	sizeEnds // with LF
	inData
	dataEnds // with CR
	dataEnded
	trailer // at the beginning of a line
	inTrailer
	trailerEnds
	bodyEnds
	bodyOver
)

// mostLine bounds a line with a size, and all trailers together; mostExcess is as net/http has it.
const mostLine, mostExcess = 4 << 10, 16 << 10

var errChunk = errors.New("http1: the body is not in chunks as it should be")

// take moves the data in p to its beginning, n bytes. What lies behind the end of the body is left alone: its length is rest.
func (c *chunks) take(p []byte) (n, rest int, err error) {
	for i := 0; i < len(p); {
		switch {
		case c.place == bodyOver:
			return n, len(p) - i, nil
		case c.place == inData:
			m := len(p) - i
			if uint64(m) >= c.left {
				m, c.place = int(c.left), dataEnds
			}
			copy(p[n:], p[i:i+m])
			n, i, c.left = n+m, i+m, c.left-uint64(m)
		default:
			if !c.step(p[i]) {
				return n, 0, errChunk
			}
			i++
		}
	}
	return n, 0, nil
}

// step takes a byte of the frame.
func (c *chunks) step(b byte) bool {
	if c.line++; c.line > mostLine {
		return false
	}
	switch c.place {
	case inSize:
		return c.size(b)
	case afterSize, inExtension:
		return c.behindSize(b)
	case sizeEnds:
		return b == '\n' && c.sized()
	case dataEnds:
		c.place = dataEnded
		return b == '\r'
	case dataEnded:
		c.place, c.digits, c.line = inSize, 0, 0
		return b == '\n'
	case trailer, inTrailer:
		c.inTrailers(b)
		return b != '\n'
	case trailerEnds:
		c.place = trailer
		return b == '\n'
	default: // bodyEnds
		c.place = bodyOver
		return b == '\n'
	}
}

func (c *chunks) size(b byte) bool {
	digit := uint64(0)
	switch {
	case '0' <= b && b <= '9':
		digit = uint64(b - '0')
	case 'a' <= b|0x20 && b|0x20 <= 'f':
		digit = uint64(b|0x20-'a') + 10
	default:
		return c.digits > 0 && c.behindSize(b)
	}
	c.left = c.left<<4 | digit
	c.digits++
	return c.digits <= 16
}

func (c *chunks) behindSize(b byte) bool {
	switch {
	case b == '\r':
		c.place = sizeEnds
	case c.place == inExtension:
		return b != '\n'
	case b == ' ' || b == '\t':
		c.place = afterSize
	case b == ';' && c.place == inSize:
		c.place = inExtension
	default:
		return false
	}
	return true
}

// sized begins a chunk.
func (c *chunks) sized() bool {
	c.excess = max(0, c.excess+int64(c.line)-16-2*int64(min(c.left, math.MaxInt64/4)))
	c.line = 0
	if c.place = inData; c.left == 0 {
		c.place = trailer
	}
	return c.excess <= mostExcess
}

func (c *chunks) inTrailers(b byte) {
	switch {
	case b == '\r' && c.place == trailer:
		c.place = bodyEnds
	case b == '\r':
		c.place = trailerEnds
	default:
		c.place = inTrailer
	}
}
