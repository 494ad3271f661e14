package upstream

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// writes is a ResponseWriter that tells how it was written to.
type writes struct {
	http.ResponseWriter
	all []string
}

func (w *writes) Write(p []byte) (int, error) {
	w.all = append(w.all, fmt.Sprintf("%q", p))
	return len(p), nil
}

func (w *writes) FlushError() error {
	w.all = append(w.all, "flush")
	return nil
}

func (w *writes) SetWriteDeadline(time.Time) error { return nil }

// The last byte of an answer of known length comes alone and is not flushed, so that the server keeps it until the handler
// returns.
func TestLastByteIsLeftToTheServer(t *testing.T) {
	for _, c := range []struct {
		parts  string
		flush  bool
		length int64
		want   string
	}{
		{"hello", false, 5, `"hell" "o"`},
		{"he llo", false, 5, `"he" "ll" "o"`},
		{"hell o", true, 5, `"hell" flush "o"`},
		{"he llo", true, 5, `"he" flush "ll" "o"`},
		{"he llo", true, -1, `"he" flush "llo" flush`},
		{"he llo", true, 6, `"he" flush "llo" flush`},
		{"x", true, 1, `"x"`},
	} {
		w := new(writes)
		o := newOutlet(w, time.Second, c.flush, c.length)
		for part := range strings.FieldsSeq(c.parts) {
			if err := o.write([]byte(part)); err != nil {
				t.Fatal(err)
			}
		}
		if !slices.Equal(w.all, strings.Split(c.want, " ")) || o.bytes != int64(len(strings.ReplaceAll(c.parts, " ", ""))) {
			t.Errorf("%q of %d bytes: %v and %d bytes, want %s", c.parts, c.length, w.all, o.bytes, c.want)
		}
	}
}
