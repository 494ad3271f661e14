package openai

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"strings"
)

// ErrBehindFile means that something stands in a form behind a file which was too large to be looked through first.
var ErrBehindFile = errors.New("a part of the form stands behind a large file")

// lastFile passes on the rest of a form whose beginning ends within a file; see Head.InFile. Nothing may stand behind that file: a
// field there could point at anything, and the upstream would have it before anybody had looked. The error comes instead of bytes,
// so that the upstream never has a whole body. What could be a boundary counts as one, whatever stands around it.
type lastFile struct {
	rest io.Reader
	mark []byte // what every boundary begins with
	seen []byte // the last bytes, in which a boundary may begin; once one was found, all from there on
	end  bool   // one was found
}

// mostBehindFile bounds the line ends and spaces behind the last boundary.
const mostBehindFile = 1 << 10

// NewLastFile makes the reader of the rest of a form.
func NewLastFile(contentType string, held []byte, rest io.Reader) io.Reader {
	mark := []byte("--" + boundaryOf(contentType))
	return &lastFile{rest: rest, mark: mark, seen: bytes.Clone(held[max(len(held)-len(mark)+1, 0):])}
}

func (l *lastFile) Read(p []byte) (int, error) {
	n, err := l.rest.Read(p)
	if !l.pass(p[:n]) || err == io.EOF && l.end && len(l.seen) < len(l.mark)+2 {
		return 0, ErrBehindFile
	}
	return n, err
}

// pass reports whether the next bytes may go on.
func (l *lastFile) pass(next []byte) bool {
	l.seen = append(l.seen, next...)
	if !l.end {
		at := bytes.Index(l.seen, l.mark)
		if l.end = at >= 0; !l.end {
			at = max(len(l.seen)-len(l.mark)+1, 0)
		}
		l.seen = append(l.seen[:0], l.seen[at:]...)
	}
	if !l.end {
		return true
	}
	behind := l.seen[len(l.mark):]
	last := behind[:min(len(behind), 2)]
	return strings.HasPrefix("--", string(last)) && len(behind) <= mostBehindFile && len(bytes.Trim(behind[len(last):], "\r\n \t")) == 0
}

// boundaryOf is the boundary of a form; empty when it is none, or parsers may differ in it.
func boundaryOf(contentType string) string {
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil || kind != "multipart/form-data" || strings.Contains(strings.ToLower(contentType), "boundary*") || strings.Contains(contentType, `\`) {
		return ""
	}
	return params["boundary"]
}
