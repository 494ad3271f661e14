package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
)

// section is a table beside the main one: measures without a promise.
type section struct {
	title texts
	text  texts   // what was measured, and how
	head  []texts // of its columns
	rows  [][]string
}

// add adds a row of cells that need no translation.
func (s *section) add(cells ...string) { s.rows = append(s.rows, cells) }

func (s *section) print(w io.Writer, l language) {
	fmt.Fprintf(w, "\n## %s\n\n%s\n\n|", s.title[l], s.text[l])
	for _, h := range s.head {
		fmt.Fprintf(w, " %s |", h[l])
	}
	fmt.Fprintf(w, "\n|---|%s\n", strings.Repeat("--:|", len(s.head)-1))
	for _, cells := range s.rows {
		fmt.Fprintf(w, "| %s |\n", strings.Join(cells, " | "))
	}
}

// grouped is a number as people write it: 10,000.
func grouped(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func megabytes(bytes float64) string { return fmt.Sprintf("%.0f MB", bytes/1e6) }

// micros is a time of CPU in microseconds.
func micros(ns float64) string { return fmt.Sprintf("%.1f us", ns/1000) }

// fold is a ratio.
func fold(of float64) string { return fmt.Sprintf("%.2fx", of) }

// cost is the median of what a request costs, or an event, and says if any of them failed: those cost something else.
func cost(r rounds, of func(figures) float64) string {
	text := micros(r.median(of))
	var failed int64
	for _, f := range r {
		failed += f.failed
	}
	if failed > 0 {
		text += fmt.Sprintf(" (%d failed)", failed)
	}
	return text
}
