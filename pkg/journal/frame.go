package journal

import (
	"encoding/binary"
	"hash/crc32"
)

// A frame is one write: the length of what it holds, a checksum of all that follows it, a number, a kind, and what it holds.
// A frame that was only half written, or that has changed since, is none.
const (
	headBytes = 4 + 4 + 8 + 1
	// mostRow bounds what a frame holds: more is not believed, and not written.
	mostRow = 4 << 20
)

// kind says what a frame holds.
type kind byte

// The kinds. They are written to disk: a new one gets a new letter.
const (
	startKind   kind = 's' // where the rows and batches stood when the segment was begun
	rowKind     kind = 'r' // a row; its number is the frame's
	batchKind   kind = 'b' // a batch; its number is the frame's
	countedKind kind = 'c' // the batches up to the frame's number need not be sent again
)

type frame struct {
	kind   kind
	number int64
	holds  []byte
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// appendFrame writes a frame to the end of a buffer.
func appendFrame(to []byte, f frame) []byte {
	at := len(to)
	to = binary.LittleEndian.AppendUint32(to, uint32(len(f.holds)))
	to = binary.LittleEndian.AppendUint32(to, 0)
	to = binary.LittleEndian.AppendUint64(to, uint64(f.number))
	to = append(append(to, byte(f.kind)), f.holds...)
	binary.LittleEndian.PutUint32(to[at+4:], crc32.Checksum(to[at+8:], castagnoli))
	return to
}

// frameAt reads the frame at the beginning of data; 0 bytes: there is none.
func frameAt(data []byte) (f frame, bytes int) {
	if len(data) < headBytes {
		return frame{}, 0
	}
	f.kind = kind(data[16])
	switch f.kind {
	case startKind, rowKind, batchKind, countedKind:
	default:
		return frame{}, 0
	}
	n := int(binary.LittleEndian.Uint32(data))
	if n > mostRow || n > len(data)-headBytes {
		return frame{}, 0
	}
	if crc32.Checksum(data[8:headBytes+n], castagnoli) != binary.LittleEndian.Uint32(data[4:]) {
		return frame{}, 0
	}
	f.number = int64(binary.LittleEndian.Uint64(data[8:]))
	f.holds = data[headBytes : headBytes+n]
	return f, headBytes + n
}

// eachFrame shows the frames of a segment in their order, until see says no. What is no frame is passed over up to the next
// one, so that a damaged byte costs the row that it is in and no other.
func eachFrame(data []byte, see func(frame) bool) {
	for at := 0; at < len(data); {
		f, n := frameAt(data[at:])
		if n == 0 {
			at++
			continue
		}
		if !see(f) {
			return
		}
		at += n
	}
}

// numbers packs the numbers that a mark holds.
func numbers(all ...int64) (text []byte) {
	for _, n := range all {
		text = binary.AppendVarint(text, n)
	}
	return text
}

// readNumbers reads what numbers packed; what is missing is 0.
func readNumbers(text []byte, into ...*int64) {
	for _, at := range into {
		n, size := binary.Varint(text)
		if size <= 0 {
			return
		}
		*at, text = n, text[size:]
	}
}
