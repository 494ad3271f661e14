package openai

import (
	"encoding/binary"
	"math/bits"
	"unsafe"
)

// valid reports whether the text is one well-formed JSON value, and says what encoding/json and gjson would. It passes over
// what is plain in a string eight bytes at a time: a prompt of megabytes is one string, and going through it byte by byte
// was half of what such a request cost. The text must not be nested too deep; see tooDeep.
func valid(text string) bool {
	v := validate(text)
	v.blank()
	return v.value() && v.ended()
}

// validator is at a place in a text.
type validator struct {
	text []byte
	at   int
}

func validate(text string) validator {
	return validator{unsafe.Slice(unsafe.StringData(text), len(text)), 0}
}

// ended reports whether there is nothing more.
func (v *validator) ended() bool {
	v.blank()
	return v.at == len(v.text)
}

// next is the byte at hand; 0 at the end.
func (v *validator) next() byte {
	if v.at == len(v.text) {
		return 0
	}
	return v.text[v.at]
}

func (v *validator) take(c byte) bool {
	if v.next() != c || v.at == len(v.text) {
		return false
	}
	v.at++
	return true
}

func (v *validator) blank() {
	for v.at < len(v.text) && (v.text[v.at] == ' ' || v.text[v.at] == '\n' || v.text[v.at] == '\r' || v.text[v.at] == '\t') {
		v.at++
	}
}

func (v *validator) value() bool {
	switch c := v.next(); {
	case c == '{':
		return v.list('}', v.member)
	case c == '[':
		return v.list(']', v.value)
	case c == '"':
		return v.string()
	case c == 't':
		return v.word("true")
	case c == 'f':
		return v.word("false")
	case c == 'n':
		return v.word("null")
	default:
		return v.number()
	}
}

// list is an object or an array, from its bracket on.
func (v *validator) list(end byte, element func() bool) bool {
	v.at++
	if v.blank(); v.take(end) {
		return true
	}
	return element() && v.others(end, element)
}

// others is what follows an element, to the end of its list.
func (v *validator) others(end byte, element func() bool) bool {
	for {
		if v.blank(); v.take(end) {
			return true
		}
		if !v.take(',') {
			return false
		}
		if v.blank(); !element() {
			return false
		}
	}
}

func (v *validator) member() bool { return v.string() && v.colon() >= 0 && v.value() }

// colon is where the value of a member begins; -1: there is no colon before it.
func (v *validator) colon() int {
	v.blank()
	if !v.take(':') {
		return -1
	}
	v.blank()
	return v.at
}

func (v *validator) word(w string) bool {
	if len(v.text)-v.at < len(w) || string(v.text[v.at:v.at+len(w)]) != w {
		return false
	}
	v.at += len(w)
	return true
}

func (v *validator) number() bool {
	v.take('-')
	if !v.take('0') && !v.digits() {
		return false
	}
	if v.take('.') && !v.digits() {
		return false
	}
	if v.take('e') || v.take('E') {
		_ = v.take('+') || v.take('-')
		return v.digits()
	}
	return true
}

// digits are one or more.
func (v *validator) digits() bool {
	from := v.at
	for v.at < len(v.text) && v.text[v.at] >= '0' && v.text[v.at] <= '9' {
		v.at++
	}
	return v.at > from
}

func (v *validator) string() bool {
	if !v.take('"') {
		return false
	}
	for {
		v.plain()
		switch c := v.next(); {
		case v.at == len(v.text) || c < ' ':
			return false
		case c == '"':
			v.at++
			return true
		case c == '\\':
			if v.at++; !v.escape() {
				return false
			}
		default:
			v.at++
		}
	}
}

// plain passes over bytes of a string that are neither its end, nor an escape, nor forbidden, as far as they come in eights.
func (v *validator) plain() {
	text := v.text[v.at:]
	at := 0
	for ; len(text)-at >= 32; at += 32 {
		four := text[at : at+32 : at+32]
		if special(binary.LittleEndian.Uint64(four))|special(binary.LittleEndian.Uint64(four[8:]))|
			special(binary.LittleEndian.Uint64(four[16:]))|special(binary.LittleEndian.Uint64(four[24:])) != 0 {
			break
		}
	}
	for ; len(text)-at >= 8; at += 8 {
		if found := special(binary.LittleEndian.Uint64(text[at:])); found != 0 {
			at += bits.TrailingZeros64(found) / 8
			break
		}
	}
	v.at += at
}

// special has the high bit of each byte set that is below a space, a quote or a backslash; the lowest of them is exact. A
// quote differs in one bit from a space: with that turned it is the one more that is not above it.
func special(eight uint64) uint64 {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	low, escape := (eight^ones*('"'^' '))-ones*(' '+1), (eight^ones*'\\')-ones
	return (low | escape) &^ eight & highs
}

// escape is what follows a backslash.
func (v *validator) escape() bool {
	switch c := v.next(); c {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		v.at++
		return true
	case 'u':
		v.at++
		for range 4 {
			if c := v.next() | 0x20; !(v.next() >= '0' && v.next() <= '9' || c >= 'a' && c <= 'f') {
				return false
			}
			v.at++
		}
		return true
	}
	return false
}
