package upstream

import (
	"bytes"
	"errors"
	"slices"
	"sync/atomic"
	"testing"

	"openai-api-proxy/pkg/openai"
)

// A message of ours comes between two others, wherever the reads that bring them are cut.
func TestLaneSays(t *testing.T) {
	mine := openai.TextFrame([]byte(`{"mine":1}`))
	first := append([]byte{0x01, 3, 'o', 'n', 'e'}, 0x89, 1, 'p', 0x80, 3, 't', 'w', 'o') // two fragments, and a ping between
	second := openai.TextFrame(bytes.Repeat([]byte("x"), 70_000))
	all := append(bytes.Clone(first), second...)
	for cut := range len(first) + 20 {
		var out bytes.Buffer
		l := newLane(nil, func(p []byte) error { out.Write(p); return nil }, func() {})
		l.pass(all[:cut])
		l.say([]byte(`{"mine":1}`))
		l.pass(all[cut : cut+1])
		l.pass(all[cut+1:])
		want := append(append(bytes.Clone(first), mine...), second...)
		switch {
		case cut == 0:
			want = append(bytes.Clone(mine), all...)
		case cut > len(first):
			want = append(bytes.Clone(all), mine...)
		}
		if !bytes.Equal(out.Bytes(), want) {
			t.Errorf("cut at %d: %d bytes, %.60q", cut, out.Len(), out.Bytes())
		}
	}
	var out bytes.Buffer
	l := newLane(nil, func(p []byte) error { out.Write(p); return nil }, func() {})
	l.pass(openai.CloseFrame(1000, "", false))
	before := out.Len()
	if l.say([]byte("late")); out.Len() != before {
		t.Error("something is said behind a close")
	}
}

// What is refused is left out of what passes, and nothing else is.
func TestGateLeavesOut(t *testing.T) {
	var answers []string
	g := &gate{stop: func(why error) { t.Error(why) }, answer: func(event []byte) { answers = append(answers, string(event)) }, room: new(atomic.Int64)}
	g.look = func(text []byte) error {
		if bytes.HasPrefix(text, []byte("bad")) {
			return &Unsaid{Event: append([]byte("no "), text...)}
		}
		return nil
	}
	good, bad := openai.TextFrame([]byte("good one")), openai.TextFrame([]byte("bad one"))
	parts := append([]byte{0x01, 3, 'b', 'a', 'd'}, 0x80, 4, ' ', 't', 'w', 'o')
	all := bytes.Join([][]byte{good, bad, good, parts, good, good}, nil)
	for size := 1; size <= len(all); size++ {
		answers = nil
		var out bytes.Buffer
		l := newLane(nil, func(p []byte) error { out.Write(p); return nil }, func() {})
		l.guard(g)
		for rest := all; len(rest) > 0; rest = rest[min(size, len(rest)):] {
			l.pass(bytes.Clone(rest[:min(size, len(rest))]))
		}
		if want := bytes.Repeat(good, 4); !bytes.Equal(out.Bytes(), want) {
			t.Errorf("in pieces of %d: %q", size, out.Bytes())
		}
		if len(answers) != 2 || answers[0] != "no bad one" || answers[1] != "no bad two" || g.room.Load() != 0 {
			t.Errorf("in pieces of %d: answered %q, %d bytes held", size, answers, g.room.Load())
		}
	}
}

// What ends a lane comes behind the frame that is under way, and nothing behind it, wherever the reads are cut; what it brings is
// read all the same.
func TestLaneEnds(t *testing.T) {
	bye := openai.CloseFrame(1008, "enough", false)
	first, second := openai.TextFrame([]byte("one")), openai.TextFrame(bytes.Repeat([]byte("x"), 70_000))
	third := openai.CloseFrame(1000, "", false)
	all := bytes.Join([][]byte{first, second, third}, nil)
	ends := []int{0, len(first), len(first) + len(second), len(all)}
	for _, cut := range []int{0, 1, 3, 5, 6, 9, 20, 4000, len(all) - 10, len(all) - 5, len(all) - 4, len(all) - 3, len(all)} {
		var out bytes.Buffer
		l := newLane(nil, func(p []byte) error { out.Write(p); return nil }, func() {})
		if cut > 0 {
			l.pass(all[:cut])
		}
		l.put(bye)
		if cut < len(all) {
			l.pass(bytes.Clone(all[cut : cut+1]))
			l.pass(all[cut+1:])
		}
		next := ends[slices.IndexFunc(ends, func(end int) bool { return end >= cut })]
		want := append(bytes.Clone(all[:next]), bye...)
		if next == len(all) { // the close that was under way
			want = all
		}
		if !bytes.Equal(out.Bytes(), want) {
			t.Errorf("cut at %d: %d bytes that end in %q, want %d", cut, out.Len(), out.Bytes()[max(out.Len()-12, 0):], len(want))
		}
		if l.frames.Messages() != 2 || l.code() != 1000 {
			t.Errorf("cut at %d: %d messages and a close with %d were read", cut, l.frames.Messages(), l.code())
		}
	}
}

// Behind an event that may not be answered any more nothing passes either way, whenever somebody comes to see to the end.
func TestNothingPassesBehindTheLast(t *testing.T) {
	event := openai.TextFrame([]byte(`{"type":"response.created"}`))
	for _, whole := range []bool{true, false} {
		var down, up bytes.Buffer
		b := &bridge{over: make(chan struct{})}
		b.down = newLane(nil, func(p []byte) error { down.Write(p); return nil }, func() {})
		b.up = newLane(nil, func(p []byte) error { up.Write(p); return nil }, func() {})
		heard := 0
		b.down.frames.See = b.see(func(openai.Told) error { heard++; return errors.New("enough") })
		if whole {
			b.down.pass(slices.Clone(event))
		} else {
			b.down.pass(slices.Concat(event, event[:5]))
			b.down.pass(slices.Clone(event[5:]))
		}
		b.down.pass(slices.Clone(event))
		b.up.pass([]byte{0x81, 0x80, 0, 0, 0, 0})
		before := up.Len()
		b.up.pass([]byte{0x81, 0x80, 0, 0, 0, 0})
		<-b.over
		bye := openai.CloseFrame(refused, "enough", false)
		all, last, found := bytes.Cut(down.Bytes(), bye)
		if !found || len(last) != 0 || len(all) > 2*len(event) || whole && !bytes.Equal(all, event) {
			t.Errorf("whole %v: the caller has %q", whole, down.Bytes())
		}
		if up.Len() != before {
			t.Errorf("whole %v: the upstream has %q", whole, up.Bytes())
		}
		if heard < 2 {
			t.Errorf("whole %v: of what comes behind it, nothing is heard", whole)
		}
	}
}
