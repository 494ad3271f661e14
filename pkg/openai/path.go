package openai

import (
	"fmt"
	"net/url"
	"strings"
)

// CheckPath refuses, with ErrHostile, what no client library sends and what parsers disagree about: empty, "." and ".."
// segments, also when they are escaped once, backslashes, control bytes and broken escapes.
func CheckPath(escapedPath string) error {
	for i, segment := range strings.Split(strings.TrimPrefix(escapedPath, "/"), "/") {
		if err := checkSegment(segment, i > 0 || escapedPath != "/"); err != nil {
			return err
		}
	}
	return nil
}

func checkSegment(segment string, mustSay bool) error {
	plain, err := url.PathUnescape(segment)
	switch {
	case err != nil:
		return fmt.Errorf("%w: broken escape", ErrHostile)
	case plain == "" && mustSay:
		return fmt.Errorf("%w: empty segment", ErrHostile)
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
