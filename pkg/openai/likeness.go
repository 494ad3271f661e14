package openai

import "bytes"

// likeness is an event that carried output and said nothing else, around its piece of text. Most events of a stream are like
// the one before them but for that piece, and mean the same: to compare costs a fifth of searching.
type likeness struct{ before, after []byte }

// mostAlike bounds what is kept, in bytes: the events of a chat have some two hundred.
const mostAlike = 1 << 10

// note keeps an event whose text begins at an index. It must end in the event, and be a value.
func (l *likeness) note(data []byte, text int) {
	l.before, l.after = l.before[:0], l.after[:0]
	end := bytes.IndexByte(data[text:], '"')
	if end <= 0 || len(data) > mostAlike || data[text+end-1] == '\\' || bytes.HasPrefix(afterSpace(data[text+end+1:]), []byte(":")) {
		return
	}
	l.before, l.after = append(l.before, data[:text]...), append(l.after, data[text+end:]...)
}

// again reports whether an event is the same but for another text, which is not empty and ends where that did.
func (l *likeness) again(data []byte) bool {
	size := len(data) - len(l.before) - len(l.after)
	if len(l.before) == 0 || size <= 0 || !bytes.HasPrefix(data, l.before) || !bytes.HasSuffix(data, l.after) {
		return false
	}
	text := data[len(l.before) : len(l.before)+size]
	return text[size-1] != '\\' && bytes.IndexByte(text, '"') < 0
}
