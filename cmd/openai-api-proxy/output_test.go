package main

import (
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// written tells each write apart.
type written chan string

func (w written) Write(p []byte) (int, error) { w <- string(p); return len(p), nil }

func TestOutput(t *testing.T) {
	to := make(written, 10)
	out := newOutput(to)
	log := slog.New(urgent{slog.NewTextHandler(out, nil), out})
	log.Info("one")
	log.Info("two")
	log.Error("three")
	if got := <-to; strings.Count(got, "\n") != 3 || !strings.Contains(got, "three") {
		t.Errorf("an error did not write all that waited in one: %q", got)
	}
	log.Info("four")
	select {
	case got := <-to: // by itself
		if !strings.Contains(got, "four") {
			t.Errorf("wrote %q", got)
		}
	case <-time.After(10 * time.Second):
		t.Error("nothing wrote what waited")
	}
	log.With("a", 1).Info("five")
	out.Flush()
	if got := <-to; !strings.Contains(got, "five") {
		t.Errorf("wrote %q", got)
	}
}

func TestOutputKeepsOrderAndAll(t *testing.T) {
	var got strings.Builder
	out := newOutput(io.Writer(&got)) // the output writes one at a time
	var all sync.WaitGroup
	const writers, lines = 8, 2000
	for w := range writers {
		all.Go(func() {
			for i := range lines {
				_, _ = io.WriteString(out, strconv.Itoa(w)+" "+strconv.Itoa(i)+"\n")
			}
		})
	}
	all.Wait()
	out.Flush()
	next := [writers]int{}
	for line := range strings.Lines(got.String()) {
		who, what, _ := strings.Cut(strings.TrimSpace(line), " ")
		w, _ := strconv.Atoi(who)
		if i, _ := strconv.Atoi(what); i != next[w] {
			t.Fatalf("writer %d: line %d came when %d was next", w, i, next[w])
		}
		next[w]++
	}
	for w, n := range next {
		if n != lines {
			t.Errorf("writer %d: %d lines of %d", w, n, lines)
		}
	}
}
