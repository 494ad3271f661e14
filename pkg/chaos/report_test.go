package chaos

import (
	"fmt"
	"strings"
	"testing"
)

// report is the table of what was found.
type report struct{ lines [][2]string }

func (r *report) add(what, found string) { r.lines = append(r.lines, [2]string{what, found}) }

func (r *report) print(t testing.TB) {
	t.Helper()
	var b strings.Builder
	for _, l := range r.lines {
		fmt.Fprintf(&b, "\n%-36s %s", l[0], l[1])
	}
	t.Logf("%s", b.String())
}

// figure is a line of the table.
func (v *verdict) figure(what, format string, args ...any) {
	v.report.add(what, fmt.Sprintf(format, args...))
}
