package openai

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Why a path is refused.
var (
	ErrHostile = errors.New("hostile path")         // no client library sends such a path
	ErrUnknown = errors.New("unknown operation")    // not in the table, or not with this method
	ErrDenied  = errors.New("operation not opened") // administration, minting, or closed by a setting
)

// closed are where the table's administration and minting lie, and what the upstream may add to them.
var closed = []string{"/v1/organization", "/v1/organizations", "/v1/projects", "/v1/realtime/client_secrets",
	"/v1/realtime/sessions", "/v1/realtime/transcription_sessions", "/v1/realtime/translations",
	"/v1/chatkit", "/v1/fine_tuning/checkpoints"}

// Operations is the operation table. It does not change once it is made.
type Operations struct {
	bySize  map[int][]entry // by number of segments behind /v1
	literal map[route]Match // what is found for paths without slots, which nearly everybody asks for
}

// route is a method and a path.
type route struct{ method, path string }

// Match is an operation found, and the path to ask the upstream for.
type Match struct {
	Op    Operation
	Path  string // escaped; literal segments from the template, slots as they came
	Model string // unescaped content of the slot {model}
	Slots Slots  // unescaped contents of all slots
}

// Slots are what stands in the slots of a template, in order.
type Slots [mostSlots]string

// mostSlots bounds the slots of an entry.
const mostSlots = 8

// Match finds the operation of a method and an escaped path, which starts with /v1/ or /proxy/v1/. HEAD is found where
// GET is. Of two operations that match, the one with fewer slots is meant; of equals, the first. Errors are ErrHostile,
// ErrDenied and ErrUnknown; a hostile path is never told what the table says of it.
func (o *Operations) Match(method, escapedPath string) (Match, error) {
	if m, found := o.literal[route{method, escapedPath}]; found {
		return m, nil
	}
	if err := CheckPath(escapedPath); err != nil {
		return Match{}, err
	}
	path, isAPI := strings.CutPrefix(strings.TrimPrefix(escapedPath, "/proxy"), "/v1/")
	if !isAPI {
		return Match{}, withoutSlot(escapedPath)
	}
	if method == http.MethodHead {
		method = http.MethodGet
	}
	segments := strings.Split(path, "/")
	f := o.find(method, segments)
	if !f.known {
		return Match{}, withoutSlot("/v1/" + path)
	}
	plain, _ := url.PathUnescape(path) // checked
	switch {
	case f.denied, isClosed("/v1/"+plain) && !(f.op != nil && isClosed(f.op.Path)):
		return Match{}, ErrDenied
	case f.closed != nil && (f.op == nil || f.op.literals < f.closed.literals):
		return Match{}, ErrDenied
	case f.op == nil:
		return Match{}, ErrUnknown
	}
	return f.op.match(segments), nil
}

// finding is what the table has for a method and path.
type finding struct {
	op     *entry // what is open, and says most of the path; nil: nothing
	closed *entry // what is closed unless an entry that says as much of the path opens it
	known  bool   // a template has the path, if with another method
	denied bool   // a setting closes it
}

// find looks for a path. Whether it is denied is asked of what its segments spell: an escape in a slot is no way
// around.
func (o *Operations) find(method string, segments []string) (f finding) {
	plain := slices.Clone(segments)
	for i, s := range plain {
		plain[i], _ = url.PathUnescape(s) // checked
	}
	entries := o.bySize[len(segments)]
	for i := range entries {
		e := &entries[i]
		fits := e.fits(segments)
		f.known = f.known || fits
		switch {
		case e.Method != method:
		case e.denied:
			f.denied = f.denied || e.fits(plain)
		case e.Class >= Administration:
			if e.fits(plain) {
				f.closed = e
			}
		case fits && (f.op == nil || e.literals > f.op.literals):
			f.op = e
		}
	}
	return f
}

// withoutSlot says why a path that no template fits is refused. An escape in it can only be meant to hide what it
// spells, since it stands in no slot.
func withoutSlot(path string) error {
	switch {
	case strings.Contains(path, "%"):
		return ErrHostile
	case isClosed(path):
		return ErrDenied
	}
	return ErrUnknown
}

// isClosed reports whether a path belongs to a closed family.
func isClosed(path string) bool {
	for _, family := range closed {
		if rest, found := strings.CutPrefix(path, family); found && (rest == "" || rest[0] == '/') {
			return true
		}
	}
	return false
}
