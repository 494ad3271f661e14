package openai

import (
	"bytes"
	"errors"

	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"
)

// InjectUsage sets stream_options.include_usage in a request body and leaves every other byte as it is.
func InjectUsage(body []byte) ([]byte, error) {
	options := 0
	gjson.ParseBytes(body).ForEach(func(key, value gjson.Result) bool {
		if key.String() == "stream_options" {
			options++
			if value.Type != gjson.Null && !value.IsObject() {
				options += 2
			}
		}
		return true
	})
	if options > 1 {
		return nil, errors.New("stream_options cannot be changed")
	}
	if gjson.GetBytes(body, "stream_options").Type == gjson.Null && options == 1 {
		return sjson.SetRawBytes(body, "stream_options", []byte(`{"include_usage":true}`))
	}
	return sjson.SetBytes(body, "stream_options.include_usage", true)
}

// filterHeld is the longest unfinished event that is held back.
const filterHeld = 64 << 10

// UsageFilter hides the usage of a chat or completions stream from a caller who did not ask for it: the event that has
// nothing else, and the "usage":null of all others. Every other byte passes.
type UsageFilter struct {
	pending []byte // an event that has not ended
	through bool   // the present event was too long to be held: it passes as it is
	out     []byte
}

// Next takes the next bytes of the stream and returns those that may pass. The result is valid until the next call.
func (f *UsageFilter) Next(p []byte) []byte {
	f.out = f.out[:0]
	f.pending = append(f.pending, p...)
	rest := f.pending
	for {
		end := eventEnd(rest)
		if end < 0 {
			break
		}
		if f.through {
			f.out = append(f.out, rest[:end]...)
			f.through = false
		} else {
			f.event(rest[:end])
		}
		rest = rest[end:]
	}
	if f.through || len(rest) > filterHeld {
		// The end of the event may be split between two reads, so its last bytes wait.
		keep := min(len(rest), 3)
		f.out = append(f.out, rest[:len(rest)-keep]...)
		rest, f.through = rest[len(rest)-keep:], true
	}
	f.pending = append(f.pending[:0], rest...)
	return f.out
}

// Flush returns what is held at the end of the stream.
func (f *UsageFilter) Flush() []byte {
	rest := f.pending
	f.pending = nil
	if f.through || len(rest) == 0 {
		return rest
	}
	f.out = f.out[:0]
	f.event(rest)
	return f.out
}

// eventEnd is the length of the first whole event, its blank line included; -1 when none is whole.
func eventEnd(p []byte) int {
	for from := 0; ; {
		i := bytes.IndexByte(p[from:], '\n')
		if i < 0 {
			return -1
		}
		i += from + 1
		switch {
		case i < len(p) && p[i] == '\n':
			return i + 1
		case i+1 < len(p) && p[i] == '\r' && p[i+1] == '\n':
			return i + 2
		}
		from = i
	}
}

// event passes one event, unless all it says is the usage.
func (f *UsageFilter) event(e []byte) {
	if !bytes.Contains(e, usageName) {
		f.out = append(f.out, e...)
		return
	}
	if onlyUsage(e) {
		return
	}
	f.out = appendWithoutNull(f.out, e)
}

// onlyUsage reports whether the event is the one that the upstream adds for include_usage: no choices, and a usage.
func onlyUsage(e []byte) bool {
	data, found := bytes.CutPrefix(bytes.TrimSpace(e), dataField)
	if !found {
		return false
	}
	choices, usage := gjson.GetBytes(data, "choices"), gjson.GetBytes(data, "usage")
	return choices.IsArray() && len(choices.Array()) == 0 && usage.IsObject()
}

// appendWithoutNull leaves out the member "usage":null with one comma beside it. Within a string its quotes would be
// escaped, so that it can only be found where it is a member.
func appendWithoutNull(out, e []byte) []byte {
	start := bytes.Index(e, usageName)
	if start > 0 && e[start-1] == '\\' {
		return append(out, e...)
	}
	end := skip(e, start+len(usageName), " \t")
	if end >= len(e) || e[end] != ':' {
		return append(out, e...)
	}
	end = skip(e, end+1, " \t")
	if !bytes.HasPrefix(e[end:], []byte("null")) {
		return append(out, e...)
	}
	end += len("null")
	before := start
	for before > 0 && (e[before-1] == ' ' || e[before-1] == '\t') {
		before--
	}
	if before > 0 && e[before-1] == ',' {
		start = before - 1
	} else if after := skip(e, end, " \t"); after < len(e) && e[after] == ',' {
		end = skip(e, after+1, " \t")
	}
	return append(append(out, e[:start]...), e[end:]...)
}

// skip is the first index from i on at which none of the characters stands.
func skip(e []byte, i int, chars string) int {
	for i < len(e) && bytes.IndexByte([]byte(chars), e[i]) >= 0 {
		i++
	}
	return i
}
