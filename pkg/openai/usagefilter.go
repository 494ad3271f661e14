package openai

import (
	"bytes"
	"strings"

	"github.com/tidwall/gjson"
)

// filterHeld is the longest event that is held back, and so the longest that is filtered.
const filterHeld = 64 << 10

// UsageFilter hides the usage of a chat or completions stream from a caller who did not ask for it: the event that
// tells it, and the "usage":null of all others. Every other byte passes, and what passes does not depend on how the
// stream was cut into reads. An event longer than 64 KiB passes as it is. The zero value is ready for one stream.
type UsageFilter struct {
	pending []byte // an event that has not ended
	through bool   // it is too long: what came of it has passed already, but for its last bytes
	out     []byte
}

// Next takes the next bytes of the stream and returns those that may pass. The result is valid until the next call.
func (f *UsageFilter) Next(p []byte) []byte {
	f.out = f.out[:0]
	searched := max(0, len(f.pending)-2) // the end of an event may be split between two reads
	f.pending = append(f.pending, p...)
	rest := f.pending
	for {
		end := eventEnd(rest, searched)
		if end < 0 {
			break
		}
		f.event(rest[:end])
		rest, searched, f.through = rest[end:], 0, false
	}
	if f.through || len(rest) > filterHeld {
		// The end of an event has at most three bytes, so one that has begun stays whole.
		keep := min(len(rest), 3)
		f.out = append(f.out, rest[:len(rest)-keep]...)
		rest, f.through = rest[len(rest)-keep:], true
	}
	f.pending = append(f.pending[:0], rest...)
	return f.out
}

// Flush returns what may pass of an event that the end of the stream left unfinished. The result is valid until the
// next call.
func (f *UsageFilter) Flush() []byte {
	f.out = f.out[:0]
	f.event(f.pending)
	f.pending, f.through = nil, false
	return f.out
}

// eventEnd is the length of the first whole event, its blank line included; -1 when none is whole. It looks for the end
// from an index on.
func eventEnd(p []byte, from int) int {
	for {
		i := bytes.IndexByte(p[from:], '\n')
		if i < 0 {
			return -1
		}
		from += i + 1
		switch rest := p[from:]; {
		case len(rest) > 0 && rest[0] == '\n':
			return from + 1
		case len(rest) > 1 && rest[0] == '\r' && rest[1] == '\n':
			return from + 2
		}
	}
}

// event passes an event, or what may be seen of it.
func (f *UsageFilter) event(e []byte) {
	switch {
	case f.through || len(e) > filterHeld || !bytes.Contains(e, usageName):
		f.out = append(f.out, e...)
	case tellsUsage(dataOf(e)):
		f.comments(e)
	default:
		for line := range bytes.Lines(e) {
			f.line(line)
		}
	}
}

// comments passes those of an event that is dropped: they are no part of it.
func (f *UsageFilter) comments(e []byte) {
	for line := range bytes.Lines(e) {
		if line[0] == ':' {
			f.out = append(f.out, line...)
		}
	}
}

// line passes a line without the null usage. Only a document that begins on the line is known to be one; a rest of one
// keeps its null, which says nothing.
func (f *UsageFilter) line(line []byte) {
	data, isData := bytes.CutPrefix(line, dataField)
	text := view(data)
	if isData && strings.HasPrefix(afterSpace(text), "{") {
		if usage := gjson.Get(text, "usage"); usage.Type == gjson.Null && usage.Raw == "null" {
			start, end := memberAround(text, usage.Index, usage.Index+len("null"))
			f.out = append(f.out, line[:len(dataField)+start]...)
			line = data[end:]
		}
	}
	f.out = append(f.out, line...)
}

// memberAround widens the place of a value to that of its member, and of one comma beside it. It narrows it to nothing
// if what is left might be broken, since the object goes on in another line.
func memberAround(text string, start, end int) (int, int) {
	const blank = " \t" // not the end of the line
	before, isMember := strings.CutSuffix(strings.TrimRight(text[:start], blank), ":")
	before, named := strings.CutSuffix(strings.TrimRight(before, blank), `"usage"`)
	if !isMember || !named {
		return end, end
	}
	if object, behind := strings.CutSuffix(strings.TrimRight(before, blank), ","); behind {
		return len(strings.TrimRight(object, blank)), end
	}
	after := strings.TrimLeft(text[end:], blank)
	if rest, ahead := strings.CutPrefix(after, ","); ahead {
		return len(before), len(text) - len(strings.TrimLeft(rest, blank))
	}
	if !strings.HasPrefix(after, "}") {
		return end, end
	}
	return len(before), end
}

// dataOf is the data of an event; that of several lines is joined, as its reader would.
func dataOf(e []byte) (data []byte) {
	found := 0
	for line := range bytes.Lines(e) {
		part, isData := bytes.CutPrefix(line, dataField)
		if !isData {
			continue
		}
		if found++; found == 1 {
			data = part
			continue
		}
		data = append(data[:len(data):len(data)], part...)
	}
	return data
}

// tellsUsage reports whether the event is the one that the upstream adds for include_usage: it has a usage, and choices
// that are empty. Azure's first event has no choices either, but no usage.
func tellsUsage(data []byte) bool {
	usage := gjson.Get(view(data), "usage")
	if usage.Type == gjson.Null { // or absent
		return false
	}
	inside, isList := strings.CutPrefix(gjson.Get(view(data), "choices").Raw, "[")
	return isList && afterSpace(inside) == "]"
}
