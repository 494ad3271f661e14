package openai

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// Why a path is refused.
var (
	ErrHostile = errors.New("hostile path")         // no client library sends such a path
	ErrUnknown = errors.New("unknown operation")    // not in the table, or not with this method
	ErrDenied  = errors.New("operation not opened") // administration, minting, or closed by a setting
)

// stateless are the operations that leave nothing behind at the upstream, as of OpenAI's published description 2.3.0.
var stateless = []Operation{
	{http.MethodPost, "/v1/chat/completions", ModelInJSON, RepeatUnlessRefused},
	{http.MethodPost, "/v1/completions", ModelInJSON, RepeatUnlessRefused},
	{http.MethodPost, "/v1/responses", ModelInJSON, RepeatUnlessRefused},
	{http.MethodPost, "/v1/responses/input_tokens", ModelInJSON, RepeatUnlessRefused},
	{http.MethodPost, "/v1/responses/compact", ModelInJSON, RepeatUnlessRefused},
	{http.MethodPost, "/v1/embeddings", ModelInJSON, RepeatUnlessRefused},
	{http.MethodPost, "/v1/images/generations", ModelInJSON, RepeatUnlessRefused},
	{http.MethodPost, "/v1/images/edits", ModelInForm, RepeatUnlessRefused},
	{http.MethodPost, "/v1/images/variations", ModelInForm, RepeatUnlessRefused},
	{http.MethodPost, "/v1/audio/speech", ModelInJSON, RepeatUnlessRefused},
	{http.MethodPost, "/v1/audio/transcriptions", ModelInForm, RepeatUnlessRefused},
	{http.MethodPost, "/v1/audio/translations", ModelInForm, RepeatUnlessRefused},
	{http.MethodPost, "/v1/moderations", ModelInJSON, RepeatUnlessRefused},
	{http.MethodGet, "/v1/models", NoModel, RepeatUnlessRefused},
	{http.MethodGet, "/v1/models/{model}", ModelInPath, RepeatUnlessRefused},
}

// closed are the families of administration and of credentials that would work beside the proxy.
var closed = []string{"/v1/organization", "/v1/organizations", "/v1/projects", "/v1/realtime/client_secrets",
	"/v1/realtime/sessions", "/v1/realtime/transcription_sessions", "/v1/realtime/translations", "/v1/chatkit/sessions"}

// Operations is the operation table.
type Operations struct {
	byShape map[string][]operation // by number of segments
}

type operation struct {
	Operation
	segments []string // of the template, without /v1
	denied   bool
}

// NewOperations is the table with what the settings add to it and take from it: "POST /v1/decisions", with {slots}. The
// error names every entry that is not of that form.
func NewOperations(allow, deny []string) (*Operations, error) {
	o := &Operations{byShape: map[string][]operation{}}
	for _, op := range stateless {
		o.add(op, false)
	}
	var errs []error
	for _, list := range []struct {
		entries []string
		denied  bool
	}{{allow, false}, {deny, true}} {
		for _, entry := range list.entries {
			op, err := parseEntry(entry)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			o.add(op, list.denied)
		}
	}
	return o, errors.Join(errs...)
}

// parseEntry reads "METHOD /v1/path".
func parseEntry(entry string) (Operation, error) {
	method, path, found := strings.Cut(entry, " ")
	if !found || strings.ToUpper(method) != method || !strings.HasPrefix(path, "/v1/") || CheckPath(path) != nil ||
		strings.ContainsAny(path, " ?#%") {
		return Operation{}, fmt.Errorf("operation %q is not of the form \"POST /v1/path\"", entry)
	}
	op := Operation{Method: method, Path: path, Repeat: RepeatUnlessRefused}
	if method != http.MethodGet {
		op.Model, op.Repeat = ModelInJSON, RepeatAfter5xx
	}
	return op, nil
}

// add puts an operation in front of those that match the same.
func (o *Operations) add(op Operation, denied bool) {
	segments := strings.Split(op.Path, "/")[2:]
	shape := shapeOf(op.Method, len(segments))
	o.byShape[shape] = append([]operation{{op, segments, denied}}, o.byShape[shape]...)
}

func shapeOf(method string, segments int) string { return fmt.Sprintf("%s %d", method, segments) }

// Match is an operation found, and the path to ask the upstream for.
type Match struct {
	Op    Operation
	Path  string // escaped; literal segments from the template, slots as they came
	Model string // unescaped content of the slot {model}
}

// Match finds the operation of a method and an escaped path, which starts with /v1/ or /proxy/v1/. HEAD is found where
// GET is. Errors are ErrHostile, ErrUnknown and ErrDenied.
func (o *Operations) Match(method, escapedPath string) (Match, error) {
	if err := CheckPath(escapedPath); err != nil {
		return Match{}, err
	}
	path, found := strings.CutPrefix(strings.TrimPrefix(escapedPath, "/proxy"), "/v1/")
	if !found {
		return Match{}, ErrUnknown
	}
	if method == http.MethodHead {
		method = http.MethodGet
	}
	segments := strings.Split(path, "/")
	best := -1
	candidates := o.byShape[shapeOf(method, len(segments))]
	for i, op := range candidates {
		if op.matches(segments) && (best < 0 || op.literals() > candidates[best].literals()) {
			best = i
		}
	}
	if best < 0 {
		return Match{}, unmatched("/v1/" + path)
	}
	if candidates[best].denied {
		return Match{}, ErrDenied
	}
	return candidates[best].match(segments), nil
}

// unmatched says why a path that no operation matches is refused. An escape can only be meant to hide what it spells,
// since it stands in no slot.
func unmatched(path string) error {
	if strings.Contains(path, "%") {
		return ErrHostile
	}
	for _, c := range closed {
		if rest, found := strings.CutPrefix(path, c); found && (rest == "" || rest[0] == '/') {
			return ErrDenied
		}
	}
	return ErrUnknown
}

func (op operation) matches(segments []string) bool {
	for i, s := range op.segments {
		if isSlot(s) {
			if segments[i] == "" {
				return false
			}
		} else if s != segments[i] {
			return false
		}
	}
	return true
}

// literals counts the segments that are not slots: of two operations that match, the one that says more is meant.
func (op operation) literals() (n int) {
	for _, s := range op.segments {
		if !isSlot(s) {
			n++
		}
	}
	return n
}

func (op operation) match(segments []string) Match {
	m := Match{Op: op.Operation, Path: "/v1/" + strings.Join(segments, "/")}
	for i, s := range op.segments {
		if s == "{model}" {
			m.Model, _ = url.PathUnescape(segments[i]) // checked
		}
	}
	return m
}

func isSlot(segment string) bool {
	return strings.HasPrefix(segment, "{") && strings.HasSuffix(segment, "}")
}
