package openai

import (
	"bytes"
	"strings"
)

// deepestWanted is how deep a path may go at which something is looked for.
const deepestWanted = 10

// Finder finds the objects of which an answer tells, while its bytes pass: in a JSON document, or in the data of events. It
// follows the structure, so that no text in an answer can be taken for an id; it keeps nothing but where it stands, and finds
// the same however the answer was cut into writes.
type Finder struct {
	wants  []want
	events bool
	line   lineState

	depth int // of the containers that are open
	held  [deepestWanted + 1]container
	text  textState
	kept  []byte // the text that is being read, if it may matter; at most longestID bytes and one
	num   []byte // likewise a number

	found   []sighted
	told    int // of found, in the last answer of Found
	changed bool
	times   map[string]int64 // by the path of the object: when it was made
}

// want is a place that matters.
type want struct {
	path   []string
	object string // path of the object that the place belongs to
	family Family // empty: the time is wanted at which the object was made
	begins bool   // the id must begin as those of the family do
	sealed bool   // no id stands there, but what has one by its beginning
}

// container is an object or a list that is open; wants are those whose path leads into it, by their bits.
type container struct {
	list  bool
	wants uint64
	at    uint64 // those whose path leads to the value that comes next
}

// lineState says in what part of a line of events the finder stands.
type lineState uint8

const (
	lineBegins lineState = iota // so many bytes of "data:" were seen
	lineData   lineState = 100 + iota
	lineOther
)

// textState says in what kind of text the finder stands.
type textState uint8

const (
	noText    textState = iota
	skipped                      // it does not matter
	isName                       // of a member
	isValue                      // at a place that matters
	spoiled   textState = 1 << 6 // it has an escape or is too long: it is no id
	escapes   textState = 1 << 7 // a backslash came just now
	textKinds           = spoiled - 1
)

// NewFinder makes a finder for an answer of the content type; nil when that cannot tell of any object.
func NewFinder(contentType string, makes []Made) *Finder {
	media, _, _ := strings.Cut(strings.ToLower(contentType), ";")
	media = strings.TrimSpace(media)
	f := &Finder{events: media == "text/event-stream", times: map[string]int64{}}
	if len(makes) == 0 || !f.events && media != "application/json" {
		return nil
	}
	for _, m := range makes {
		f.want(m.Path, m.Family, m.Begins)
		if object, isID := strings.CutSuffix(m.Path, "id"); isID && (object == "" || object[len(object)-1] == '.') && !strings.Contains(object, "#") {
			f.want(object+"created_at", "", false)
			f.want(object+"created", "", false)
		}
	}
	f.restart()
	return f
}

func (f *Finder) want(path string, family Family, begins bool) {
	segments := strings.Split(path, ".")
	if len(segments) > deepestWanted || len(f.wants) == 64 {
		return
	}
	f.wants = append(f.wants, want{segments, strings.Join(segments[:len(segments)-1], "."), family, begins, isSealed(path)})
}

// restart begins with another document.
func (f *Finder) restart() {
	f.depth, f.text = 0, noText
	f.kept, f.num = f.kept[:0], f.num[:0]
	f.held[0] = container{at: 1<<len(f.wants) - 1}
}

// Write takes the next bytes.
func (f *Finder) Write(p []byte) (int, error) {
	n := len(p)
	if !f.events {
		f.document(p)
		return n, nil
	}
	for len(p) > 0 {
		end := bytes.IndexByte(p, '\n')
		if end < 0 {
			f.part(p)
			break
		}
		f.part(p[:end])
		f.line = lineBegins
		f.restart()
		p = p[end+1:]
	}
	return n, nil
}

// part takes a part of a line.
func (f *Finder) part(p []byte) {
	for len(p) > 0 && int(f.line) < len(dataField) {
		if p[0] != dataField[f.line] {
			f.line = lineOther
			return
		}
		p = p[1:]
		if f.line++; int(f.line) == len(dataField) {
			f.line = lineData
		}
	}
	if f.line == lineData {
		f.document(p)
	}
}

// document takes a part of a JSON document.
func (f *Finder) document(p []byte) {
	for i := 0; i < len(p); i++ {
		if f.text != noText {
			i += f.inText(p[i:])
			continue
		}
		switch c := p[i]; c {
		case '"':
			f.beginText()
		case '{', '[':
			f.open(c == '[')
		case '}', ']':
			f.endNumber()
			f.depth = max(f.depth-1, 0)
		case ',':
			f.endNumber()
			f.next()
		default:
			f.digit(c)
		}
	}
}

// top is the innermost container of those in which something may matter; nil below them.
func (f *Finder) top() *container {
	if f.depth > deepestWanted {
		return nil
	}
	return &f.held[f.depth]
}

func (f *Finder) open(list bool) {
	var inside uint64
	if t := f.top(); t != nil {
		inside = t.at
	}
	if f.depth++; f.depth <= deepestWanted {
		f.held[f.depth] = container{list: list, wants: inside}
		f.next()
	}
}

// next is at the beginning of a container, or behind a comma in it.
func (f *Finder) next() {
	t := f.top()
	if t == nil || f.depth == 0 {
		return
	}
	t.at = 0
	if t.list {
		t.at = f.leading(t.wants, "#")
	}
}

// leading are those of the wants whose path goes on with the name.
func (f *Finder) leading(wants uint64, name string) (to uint64) {
	for i := range f.wants {
		if path := f.wants[i].path; wants>>i&1 == 1 && len(path) >= f.depth && path[f.depth-1] == name {
			to |= 1 << i
		}
	}
	return to
}

// here is what is wanted of the value that comes now; -1: nothing.
func (f *Finder) here(timed bool) int {
	t := f.top()
	if t == nil {
		return -1
	}
	for i := range f.wants {
		if t.at>>i&1 == 1 && len(f.wants[i].path) == f.depth && (f.wants[i].family == "") == timed {
			return i
		}
	}
	return -1
}

func (f *Finder) beginText() {
	f.kept = f.kept[:0]
	t := f.top()
	switch {
	case t == nil || f.depth == 0:
		f.text = skipped
	case !t.list && t.at == 0 && t.wants != 0:
		f.text = isName
	case f.here(false) >= 0:
		f.text = isValue
	default:
		f.text = skipped
	}
}

// inText takes bytes of a text, and returns how many beyond the first.
func (f *Finder) inText(p []byte) int {
	if f.text&escapes != 0 {
		f.text &^= escapes
		return 0
	}
	end := bytes.IndexAny(p, `"\`)
	if end < 0 {
		f.keep(p)
		return len(p) - 1
	}
	f.keep(p[:end])
	if p[end] == '\\' {
		f.text |= escapes | spoiled
		return end
	}
	f.endText()
	return end
}

func (f *Finder) keep(p []byte) {
	if f.text&textKinds == skipped {
		return
	}
	if room := longestID + 1 - len(f.kept); len(p) > room {
		p, f.text = p[:room], f.text|spoiled
	}
	f.kept = append(f.kept, p...)
}

func (f *Finder) endText() {
	t, kind, good := f.top(), f.text&textKinds, f.text&spoiled == 0
	f.text = noText
	switch {
	case kind == isName && good:
		t.at = f.leading(t.wants, string(f.kept))
	case kind == isValue:
		f.value(f.wants[f.here(false)], good)
	}
}

// value is behind a text at a place that matters. One that is sealed is longer than any id, and so no good one; its beginning is
// what counts of it.
func (f *Finder) value(w want, good bool) {
	id := string(f.kept)
	switch {
	case id == "":
	case w.sealed:
		f.sight(w, sealID(id))
	case good && IsObjectID(id) && (!w.begins || FamilyOf(id) == w.family):
		f.sight(w, id)
	}
}

// digit takes a byte of a number, or of what is between values.
func (f *Finder) digit(c byte) {
	if c >= '0' && c <= '9' && len(f.num) < 18 && f.here(true) >= 0 {
		f.num = append(f.num, c)
	} else if len(f.num) > 0 && (c == '.' || c == 'e' || c == 'E') {
		f.num, f.top().at = f.num[:0], 0 // it is not whole, and no time
	}
}

// endNumber is behind a value that may have been one.
func (f *Finder) endNumber() {
	if len(f.num) == 0 {
		return
	}
	var n int64
	for _, c := range f.num {
		n = n*10 + int64(c-'0')
	}
	f.num = f.num[:0]
	if i := f.here(true); i >= 0 && n > 0 {
		f.dated(f.wants[i].object, n)
	}
}
