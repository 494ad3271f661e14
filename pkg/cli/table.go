package cli

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// table is rows under a head. A terminal gets them aligned, a file or a pipe with a tab between the cells.
type table struct {
	head   []string
	rows   [][]string
	more   bool  // the head was printed before
	widths []int // of what was printed so far
}

func (t *table) add(cells ...any) {
	row := make([]string, len(cells))
	for i, c := range cells {
		row[i] = cell(c)
	}
	t.rows = append(t.rows, row)
}

// cell is a value as people read it. What an upstream or another operator wrote must break neither line nor terminal.
func cell(v any) string {
	switch v := v.(type) {
	case string:
		return oneLine(v)
	case []string:
		return oneLine(strings.Join(v, ","))
	case int64:
		return strconv.FormatInt(v, 10)
	case time.Time:
		return v.UTC().Format("2006-01-02 15:04:05")
	case *time.Time:
		if v == nil {
			return ""
		}
		return cell(*v)
	case bool:
		if v {
			return "yes"
		}
		return "no"
	default:
		return oneLine(fmt.Sprint(v))
	}
}

// print prints the rows. A second time it goes on below, with the rows that were added since.
func (t *table) print(w io.Writer, aligned bool) {
	all := t.rows
	if !t.more {
		all = append([][]string{t.head}, t.rows...)
	}
	t.rows, t.more = nil, true
	if !aligned {
		for _, row := range all {
			fmt.Fprintln(w, strings.Join(row, "\t"))
		}
		return
	}
	if t.widths == nil {
		t.widths = make([]int, len(t.head))
	}
	for _, row := range all {
		for i, text := range row {
			t.widths[i] = max(t.widths[i], width(text))
		}
	}
	for _, row := range all {
		var line strings.Builder
		for i, text := range row {
			line.WriteString(text)
			line.WriteString(strings.Repeat(" ", t.widths[i]-width(text)+2))
		}
		fmt.Fprintln(w, strings.TrimRight(line.String(), " "))
	}
}

// width is how many columns a text takes: two for most of what Chinese, Japanese and Korean are written with, and for
// emoji. It is kept simple; a terminal may disagree about the rest.
func width(text string) (columns int) {
	for _, r := range text {
		switch {
		case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		case unicode.In(r, unicode.Han, unicode.Hangul, unicode.Hiragana, unicode.Katakana) && !(r >= 0xff61 && r <= 0xffdc),
			r >= 0x3000 && r <= 0x303f, r >= 0xff00 && r <= 0xff60, r >= 0xffe0 && r <= 0xffe6, r >= 0x1f300 && r <= 0x1faff:
			columns += 2
		default:
			columns++
		}
	}
	return columns
}

// print prints a table.
func (s *session) print(t *table) { t.print(s.Out, s.terminal) }

// raw prints an answer as it came, on a line of its own.
func (s *session) raw(text []byte) error {
	_, err := fmt.Fprintf(s.Out, "%s\n", strings.TrimRight(string(text), "\n"))
	return err
}

// answered ends a command whose answer needs no words: the call failed, or the answer is wanted as it came.
func (s *session) answered(text []byte, err error) (done bool, _ error) {
	if err != nil || !s.json {
		return err != nil, err
	}
	return true, s.raw(text)
}

// say tells a person what was done. It goes beside the answer, which a program may read.
func (s *session) say(format string, args ...any) { fmt.Fprintf(s.Err, format+"\n", args...) }

func percent(share float64) string { return strconv.FormatFloat(share*100, 'f', 1, 64) + "%" }

func millis(ms float64) string { return strconv.FormatFloat(ms, 'f', 1, 64) }
