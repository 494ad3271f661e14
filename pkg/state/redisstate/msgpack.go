package redisstate

import (
	"encoding/binary"
	"slices"
)

// flat is a list of texts and whole numbers in MessagePack, which scripts read with cmsgpack.unpack. Arguments by themselves cost
// Redis more than what a script does with them: each is read, made an object, then a string of Lua, and then a number. The
// format is that of https://github.com/msgpack/msgpack/blob/master/spec.md.
type flat struct {
	bytes []byte
	n     uint32
}

const (
	flatHead   = "\xdd\x00\x00\x00\x00" // an array, and 32 bits of its length
	flatText   = 0xdb                   // 32 bits of length follow
	flatNumber = 0xd3                   // 64 bits, signed
	flatSmall  = 0x7f                   // and below: the number itself
)

// What is needed beside its bytes for a text, and at most for a number.
const (
	textRoom   = 5
	numberRoom = 9
)

// grow makes room for so many bytes.
func (f *flat) grow(room int) { f.bytes = slices.Grow(f.bytes, len(flatHead)+room) }

// next begins an element.
func (f *flat) next() {
	if f.n++; f.n == 1 {
		f.bytes = append(f.bytes, flatHead...)
	}
}

func (f *flat) text(s string) {
	f.next()
	f.bytes = binary.BigEndian.AppendUint32(append(f.bytes, flatText), uint32(len(s)))
	f.bytes = append(f.bytes, s...)
}

func (f *flat) number(i int64) {
	f.next()
	if i >= 0 && i <= flatSmall {
		f.bytes = append(f.bytes, byte(i))
		return
	}
	f.bytes = binary.BigEndian.AppendUint64(append(f.bytes, flatNumber), uint64(i))
}

// later is a number that is 0 so far, and where it is among the bytes: it may be raised there up to flatSmall.
func (f *flat) later() int {
	f.number(0)
	return len(f.bytes) - 1
}

// pack is the list, which is not empty.
func (f *flat) pack() []byte {
	binary.BigEndian.PutUint32(f.bytes[1:], f.n)
	return f.bytes
}
