package openai

import (
	"bytes"
	"strings"

	"github.com/tidwall/gjson"
)

const (
	// lineKept is the longest line, or body, of which the tap keeps all.
	lineKept = 64 << 10
	// tailKept is what it keeps of longer ones: usage stands at the end.
	tailKept = 16 << 10
)

// Tap reads an answer beside the bytes that pass: the usage, how many events carried output, how it ended. It never
// fails; what it cannot read costs only the figure, and what it reads does not depend on how the answer was cut into
// writes. It holds at most 80 KiB. Use NewTap.
type Tap struct {
	events bool // server-sent events; otherwise one JSON document
	silent bool // neither: nothing to read

	line  []byte // the unfinished line, or the body; of a long one some of its last bytes, at least tailKept
	cut   bool   // line is long: its beginning was read by seeHead, and is gone
	named kind   // by the event's own name, which stands on a line before its data
	begun kind   // by the beginning of a long line, to be counted when its end comes
	likes likeness
	reading

	end   reading // as it stands when no more bytes come
	ready bool    // end was read, and nothing came since
}

// reading is what was read.
type reading struct {
	usage  Usage
	known  bool
	deltas int64
	ended  bool
	failed bool
}

// NewTap makes a tap for an answer of the content type. Of a type that is neither events nor JSON it reads nothing.
func NewTap(contentType string) *Tap {
	t := new(Tap)
	t.Reset(contentType)
	return t
}

// Reset makes it a new tap with the memory of the old one.
func (t *Tap) Reset(contentType string) {
	media, _, _ := strings.Cut(strings.ToLower(contentType), ";")
	media = strings.TrimSpace(media)
	events := media == "text/event-stream"
	*t = Tap{line: t.line[:0], likes: likeness{before: t.likes.before[:0], after: t.likes.after[:0]}, events: events, silent: !events && media != "application/json" && !strings.HasSuffix(media, "+json")}
}

// Write takes the next bytes. It keeps none of p.
func (t *Tap) Write(p []byte) (int, error) {
	n := len(p)
	t.ready = false
	if t.silent {
		return n, nil
	}
	for t.events {
		end := bytes.IndexByte(p, '\n')
		if end < 0 {
			break
		}
		if len(t.line) == 0 && end <= lineKept {
			t.see(p[:end])
		} else {
			t.keep(p[:end])
			t.finish()
		}
		p = p[end+1:]
	}
	t.keep(p)
	return n, nil
}

// keep appends to the line. When it gets too long its beginning is read, and then only its tail stays.
func (t *Tap) keep(p []byte) {
	if room := lineKept - len(t.line); !t.cut && len(p) > room {
		t.line = append(t.line, p[:room]...)
		t.seeHead()
		t.cut, p = true, p[room:]
	}
	if !t.cut {
		t.line = append(t.line, p...)
		return
	}
	p = p[max(0, len(p)-tailKept):]
	if len(t.line)+len(p) > lineKept {
		t.line = append(t.line[:0], t.line[len(t.line)-tailKept:]...)
	}
	t.line = append(t.line, p...)
}

// finish reads the line that was kept.
func (t *Tap) finish() {
	if t.cut {
		if !t.begun.early {
			t.seeTail()
		}
		t.count(t.begun)
	} else {
		t.see(t.line)
	}
	t.line, t.cut, t.begun = t.line[:0], false, kind{}
}

// see reads one line of a stream.
func (t *Tap) see(line []byte) {
	line = bytes.TrimSuffix(line, []byte("\r"))
	if len(line) == 0 {
		t.named = kind{}
		return
	}
	if name, found := bytes.CutPrefix(line, nameField); found {
		t.named = kinds[string(bytes.TrimSpace(name))]
		return
	}
	if data, found := bytes.CutPrefix(line, dataField); found {
		t.count(t.read(bytes.TrimSpace(data)))
	}
}

// seeHead reads the beginning of a long line or body. That its event ends the stream is believed when the line ends.
func (t *Tap) seeHead() {
	if !t.events {
		t.learn(usageIn(view(t.line)))
	} else if data, found := bytes.CutPrefix(t.line, dataField); found {
		t.begun = t.read(data)
	}
}

// seeTail reads the end of a long line or body.
func (t *Tap) seeTail() { t.learn(usageInTail(view(t.line[len(t.line)-tailKept:]))) }

func (t *Tap) learn(usage Usage, ok bool) {
	if ok {
		t.usage, t.known = usage, true
	}
}

func (t *Tap) count(k kind) {
	t.ended = t.ended || k.ends
	t.failed = t.failed || k.fails
}

// read reads the data of an event, and says of which kind that is. Data that carries output is only searched: a look at
// its structure is for the few that have a type, an error or a usage.
func (t *Tap) read(data []byte) kind {
	if bytes.Equal(data, doneData) {
		return kind{ends: true}
	}
	if t.named == (kind{}) && t.likes.again(data) {
		t.deltas++
		return kind{}
	}
	text, means := view(data), t.named
	typed := ""
	if bytes.Contains(data, typeName) {
		typed = gjson.Get(text, "type").Str
		means = means.and(kinds[typed])
	}
	output := 0
	if !means.ends {
		output = outputAt(data, typed)
	}
	if output > 0 {
		t.deltas++
	}
	if bytes.Contains(data, errorName) && truthy(gjson.Get(text, "error")) {
		means.fails = true
	}
	// The type of a run's step, which tells a usage too, is none of an event, and has no dot.
	early := !means.ends && strings.Contains(typed, ".")
	told := false
	if !early {
		var usage Usage
		usage, told = usageIn(text)
		t.learn(usage, told)
	}
	if output > 0 && !told && means == (kind{}) {
		t.likes.note(data, output)
	}
	means.early = early
	return means
}

// final is what was read when no more bytes come. A line may be a whole event even so.
func (t *Tap) final() *reading {
	if t.ready {
		return &t.end
	}
	end := *t
	end.likes = likeness{} // whose memory is not to be shared
	switch {
	case t.silent:
	case !t.events && t.cut:
		end.seeTail()
	case !t.events:
		end.learn(usageAtEnd(view(t.line)))
	case !t.cut:
		data := bytes.TrimSpace(bytes.TrimPrefix(t.line, dataField))
		if bytes.Equal(data, doneData) || gjson.Valid(view(data)) {
			end.see(t.line)
		}
	}
	t.end, t.ready = end.reading, true
	return &t.end
}

// Usage is what the upstream said was used; false while it has not.
func (t *Tap) Usage() (Usage, bool) { return t.final().usage, t.final().known }

// Deltas is how many events carried output: roughly one token each.
func (t *Tap) Deltas() int64 { return t.final().deltas }

// Ended reports whether the stream's own last event was seen.
func (t *Tap) Ended() bool { return t.final().ended }

// Failed reports whether the stream told of a failure.
func (t *Tap) Failed() bool { return t.final().failed }
