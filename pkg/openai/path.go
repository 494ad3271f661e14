package openai

import (
	"fmt"
	"net/url"
	"strings"
)

// CheckPath refuses, with ErrHostile, what no client library sends and what parsers disagree about: empty, "." and ".."
// segments, also when they are escaped once, backslashes, control bytes, broken escapes, and what would end the path. A
// slash at the end is none of these.
func CheckPath(escapedPath string) error {
	if isPlain(escapedPath) {
		return nil
	}
	rest, more := strings.TrimPrefix(escapedPath, "/"), true
	for more {
		var segment string
		segment, rest, more = strings.Cut(rest, "/")
		if segment == "" && more {
			return fmt.Errorf("%w: empty segment", ErrHostile)
		}
		if err := checkSegment(segment); err != nil {
			return err
		}
	}
	return nil
}

// isPlain reports whether a path consists of names of letters, digits, "-" and "_", as nearly all do: nobody disagrees about one.
func isPlain(path string) bool {
	slash := false
	for i := range len(path) {
		c := path[i]
		if slash && c == '/' {
			return false
		}
		slash = c == '/'
		if !(slash || c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
			return false
		}
	}
	return true
}

func checkSegment(segment string) error {
	if strings.ContainsAny(segment, " ?#") {
		return fmt.Errorf("%w: unescaped", ErrHostile)
	}
	plain, err := url.PathUnescape(segment)
	if err != nil {
		return fmt.Errorf("%w: broken escape", ErrHostile)
	}
	for part := range strings.SplitSeq(plain, "/") { // an escaped slash makes segments for whoever unescapes it
		if part == "." || part == ".." {
			return fmt.Errorf("%w: dot segment", ErrHostile)
		}
	}
	for i := range len(plain) {
		if c := plain[i]; c < ' ' || c == 0x7f || c == '\\' {
			return fmt.Errorf("%w: byte %#x", ErrHostile, c)
		}
	}
	return nil
}
